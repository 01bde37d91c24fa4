#lang racket/base
;; Green threads, preempted by timer: semaphores, channels, breaks, custodians, sleeping, will executors.
(define s (make-semaphore 1))
(define counter 0)
(define ts (for/list ([_ 100])
             (thread (lambda ()
                       (for ([_ 200])
                         (call-with-semaphore s (lambda () (set! counter (add1 counter)))))))))
(for-each thread-wait ts)
(printf "counter ~a\n" counter)

;; two that never yield by themselves
(define a 0)
(define b 0)
(define ta (thread (lambda () (let loop () (set! a (add1 a)) (loop)))))
(define tb (thread (lambda () (let loop () (set! b (add1 b)) (loop)))))
(let wait () (unless (and (> a 1000) (> b 1000)) (sleep 0.01) (wait)))
(kill-thread ta)
(kill-thread tb)
(printf "both ran\n")

(define ch (make-channel))
(define pipeline
  (for/fold ([in ch]) ([_ 50])
    (define out (make-channel))
    (thread (lambda () (let loop () (channel-put out (add1 (channel-get in))) (loop))))
    out))
(printf "pipeline ~a\n" (for/list ([i 5]) (channel-put ch i) (channel-get pipeline)))

(define broken
  (thread (lambda ()
            (with-handlers ([exn:break? (lambda (e) (printf "break arrived\n"))])
              (sleep 100)))))
(sleep 0.05)
(break-thread broken)
(thread-wait broken)

(define c (make-custodian))
(define t (parameterize ([current-custodian c]) (thread (lambda () (sleep 100)))))
(custodian-shutdown-all c)
(printf "dead ~a\n" (thread-dead? t))

(define start (current-inexact-milliseconds))
(printf "timeout ~a\n" (sync/timeout 0.2 (make-semaphore)))
(define took (- (current-inexact-milliseconds) start))
(printf "slept about right: ~a\n" (<= 195 took 3000))
(printf "alarms ~a\n" (for/list ([ms '(30 10 20)])
                        (begin (sync (alarm-evt (+ (current-inexact-milliseconds) ms))) ms)))
