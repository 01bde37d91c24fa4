//@ variants: dynamic-pie no-pie static static-pie
//@ toml: [overrides]
//@ toml: pick = "hrt_seconds"
//@ toml: time = "hrt_seconds"
//@ stats: overrides.pick.calls == 300
//@ stats: overrides.pick.places >= 1
//@ stats: overrides.time.places >= 1
//@ flags: -Wl,-z,now
// A function that is chosen as the program starts (STT_GNU_IFUNC): its resolver is no such function, and the places that hold what it
// chose are.
#include "check.h"

static time_t one(time_t *t) { return *t = time(NULL); }
__attribute__((used)) static time_t (*resolve(void))(time_t *) { return one; }
time_t pick(time_t *t) __attribute__((ifunc("resolve")));
static time_t (*const pointer)(time_t *) = pick;
time_t (*volatile other)(time_t *) = pick;

int main(void) {
    for (int i = 0; i < 100; i++) {
        time_t a, b, c, now = time(NULL);
        MUST(pick(&a) >= now && pointer(&b) >= a && other(&c) >= b && c - now < 20);
    }
    return done();
}
