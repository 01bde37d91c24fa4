#lang racket/base
;; The largest singular value of the infinite matrix A(i,j) = 1 / ((i+j)(i+j+1)/2 + i+1), its first n rows and columns, by
;; the power method on A'A.
(require racket/cmdline racket/flonum racket/unsafe/ops)

(define-syntax-rule (a i j)
  (let ([s (unsafe-fx+ i j)])
    (fl/ 1.0 (fl+ (fl* 0.5 (fl* (unsafe-fx->fl s) (unsafe-fx->fl (unsafe-fx+ s 1)))) (unsafe-fx->fl (unsafe-fx+ i 1))))))

(define-syntax-rule (define-multiply name (i j) entry)
  (define (name n v to)
    (let rows ([i 0])
      (when (unsafe-fx< i n)
        (let columns ([j 0] [sum 0.0])
          (if (unsafe-fx< j n)
              (columns (unsafe-fx+ j 1) (fl+ sum (fl* entry (unsafe-flvector-ref v j))))
              (unsafe-flvector-set! to i sum)))
        (rows (unsafe-fx+ i 1))))))
(define-multiply times-a! (i j) (a i j))
(define-multiply times-transposed! (i j) (a j i))

(define (spectral-norm n)
  (define u (make-flvector n 1.0))
  (define v (make-flvector n 0.0))
  (define t (make-flvector n 0.0))
  (for ([_ (in-range 10)])
    (times-a! n u t)
    (times-transposed! n t v)
    (times-a! n v t)
    (times-transposed! n t u))
  (define-values (uv vv)
    (for/fold ([uv 0.0] [vv 0.0]) ([x (in-flvector u)] [y (in-flvector v)])
      (values (fl+ uv (fl* x y)) (fl+ vv (fl* y y)))))
  (flsqrt (fl/ uv vv)))

;; nine decimals of a positive number
(define (show x)
  (define scaled (inexact->exact (round (* x 1e9))))
  (define digits (number->string (remainder scaled 1000000000)))
  (printf "~a.~a~a\n" (quotient scaled 1000000000) (make-string (- 9 (string-length digits)) #\0) digits))

(define n (command-line #:args ([n "100"]) (string->number n)))
(show (spectral-norm n))
