#lang racket/base
;; The Sun and the four giant planets, by a simple symplectic integrator; energy before and after n steps.
(require racket/cmdline racket/flonum racket/math racket/unsafe/ops)

(define solar-mass (* 4 pi pi))
(define year 365.24)

;; per body: x y z vx vy vz mass
(define fields 7)
(define (body x y z vx vy vz m)
  (list x y z (* vx year) (* vy year) (* vz year) (* m solar-mass)))
(define state
  (apply
   flvector
   (append
    (list 0.0 0.0 0.0 0.0 0.0 0.0 solar-mass)
    ;; Jupiter
    (body 4.84143144246472090 -1.16032004402742839 -0.103622044471123109
          0.00166007664274403694 0.00769901118419740425 -0.0000690460016972063023 0.000954791938424326609)
    ;; Saturn
    (body 8.34336671824457987 4.12479856412430479 -0.403523417114321381
          -0.00276742510726411112 0.00499852801234917238 0.0000230417297573763929 0.000285885980666130812)
    ;; Uranus
    (body 12.8943695621391310 -15.1111514016986312 -0.223307578892655734
          0.00296460137564761618 0.00237847173959480950 -0.0000296589568540237556 0.0000436624404335156298)
    ;; Neptune
    (body 15.3796971148509165 -25.9193146099879641 0.179258772950371181
          0.00268067772490389322 0.00162824170038242295 -0.0000951592254519715870 0.0000515138902046611451))))
(define size (flvector-length state))

(define-syntax-rule (at i k) (unsafe-flvector-ref state (unsafe-fx+ i k)))
(define-syntax-rule (add! i k v) (unsafe-flvector-set! state (unsafe-fx+ i k) (fl+ (at i k) v)))

;; The Sun's momentum balances the planets'.
(define (offset-momentum!)
  (for ([k (in-range 3 6)])
    (flvector-set! state k
                   (- (/ (for/fold ([p 0.0]) ([i (in-range 0 size fields)])
                           (+ p (* (at i k) (at i 6))))
                         solar-mass)))))

(define (energy)
  (for/fold ([e 0.0]) ([i (in-range 0 size fields)])
    (define kinetic
      (* 0.5 (at i 6) (+ (* (at i 3) (at i 3)) (* (at i 4) (at i 4)) (* (at i 5) (at i 5)))))
    (for/fold ([e (+ e kinetic)]) ([j (in-range (+ i fields) size fields)])
      (define dx (- (at i 0) (at j 0)))
      (define dy (- (at i 1) (at j 1)))
      (define dz (- (at i 2) (at j 2)))
      (- e (/ (* (at i 6) (at j 6)) (sqrt (+ (* dx dx) (* dy dy) (* dz dz))))))))

(define (advance! dt)
  (let outer ([i 0])
    (when (unsafe-fx< i size)
      (let inner ([j (unsafe-fx+ i fields)])
        (when (unsafe-fx< j size)
          (let* ([dx (fl- (at i 0) (at j 0))]
                 [dy (fl- (at i 1) (at j 1))]
                 [dz (fl- (at i 2) (at j 2))]
                 [d2 (fl+ (fl* dx dx) (fl+ (fl* dy dy) (fl* dz dz)))]
                 [mag (fl/ dt (fl* d2 (flsqrt d2)))]
                 [mi (fl* (at i 6) mag)]
                 [mj (fl* (at j 6) mag)])
            (add! i 3 (fl- 0.0 (fl* dx mj)))
            (add! i 4 (fl- 0.0 (fl* dy mj)))
            (add! i 5 (fl- 0.0 (fl* dz mj)))
            (add! j 3 (fl* dx mi))
            (add! j 4 (fl* dy mi))
            (add! j 5 (fl* dz mi)))
          (inner (unsafe-fx+ j fields))))
      (add! i 0 (fl* dt (at i 3)))
      (add! i 1 (fl* dt (at i 4)))
      (add! i 2 (fl* dt (at i 5)))
      (outer (unsafe-fx+ i fields)))))

;; nine decimals
(define (show x)
  (define scaled (inexact->exact (round (* (abs x) 1e9))))
  (define digits (number->string (remainder scaled 1000000000)))
  (printf "~a~a.~a~a\n" (if (< x 0.0) "-" "") (quotient scaled 1000000000)
          (make-string (- 9 (string-length digits)) #\0) digits))

(define n (command-line #:args ([n "1000"]) (string->number n)))
(offset-momentum!)
(show (energy))
(for ([_ (in-range n)]) (advance! 0.01))
(show (energy))
