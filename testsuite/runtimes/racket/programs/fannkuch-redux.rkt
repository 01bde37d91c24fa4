#lang racket/base
;; Of every permutation of 1..n: take the first element k, reverse the first k, until the first is 1. Prints the alternating
;; sum of the flip counts (by the permutation's place in the order below) and the largest count.
;; Order: the counting system in which digit i (0..i) rotates the first i+1 elements.
(require racket/unsafe/ops racket/cmdline)

(define (flips p q n)
  (let copy ([i 0])
    (when (unsafe-fx< i n)
      (unsafe-vector-set! q i (unsafe-vector-ref p i))
      (copy (unsafe-fx+ i 1))))
  (let loop ([count 0])
    (define k (unsafe-vector-ref q 0))
    (cond
      [(unsafe-fx= k 0) count]
      [else
       (let reverse! ([lo 0] [hi k])
         (when (unsafe-fx< lo hi)
           (define t (unsafe-vector-ref q lo))
           (unsafe-vector-set! q lo (unsafe-vector-ref q hi))
           (unsafe-vector-set! q hi t)
           (reverse! (unsafe-fx+ lo 1) (unsafe-fx- hi 1))))
       (loop (unsafe-fx+ count 1))])))

(define (rotate! p i)
  (define first (unsafe-vector-ref p 0))
  (let loop ([j 0])
    (when (unsafe-fx< j i)
      (unsafe-vector-set! p j (unsafe-vector-ref p (unsafe-fx+ j 1)))
      (loop (unsafe-fx+ j 1))))
  (unsafe-vector-set! p i first))

(define (fannkuch n)
  (define p (build-vector n values))
  (define q (make-vector n 0))
  (define digits (make-vector (+ n 1) 0))
  (let loop ([even? #t] [sum 0] [best 0])
    (define f (flips p q n))
    (define new-sum (if even? (unsafe-fx+ sum f) (unsafe-fx- sum f)))
    (define new-best (if (unsafe-fx> f best) f best))
    ;; next permutation
    (let next ([i 1])
      (cond
        [(unsafe-fx= i n) (values new-sum new-best)]
        [else
         (rotate! p i)
         (define d (unsafe-fx+ 1 (unsafe-vector-ref digits i)))
         (cond
           [(unsafe-fx<= d i)
            (unsafe-vector-set! digits i d)
            (loop (not even?) new-sum new-best)]
           [else
            (unsafe-vector-set! digits i 0)
            (next (unsafe-fx+ i 1))])]))))

(define n (command-line #:args ([n "7"]) (string->number n)))
(define-values (sum best) (fannkuch n))
(printf "~a\nPfannkuchen(~a) = ~a\n" sum n best)
