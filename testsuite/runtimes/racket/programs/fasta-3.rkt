#lang racket/base
;; The same output as fasta, computed another way: the generator has 139968 states, so each table is turned into one byte
;; string that maps a state to its letter; output goes through one large buffer.
(require racket/cmdline racket/unsafe/ops)

(define IM 139968)
(define width 60)

(define (make-map letters weights)
  (define map (make-bytes IM))
  (let loop ([i 0] [letter 0] [bound (car weights)] [weights (cdr weights)])
    (when (< i IM)
      (cond
        [(or (null? weights) (< (/ (exact->inexact i) IM) bound))
         (bytes-set! map i (bytes-ref letters letter))
         (loop (add1 i) letter bound weights)]
        [else (loop i (add1 letter) (+ bound (car weights)) (cdr weights))])))
  map)

(define iub-map
  (make-map #"acgtBDHKMNRSVWY"
            (append '(0.27 0.12 0.12 0.27) (for/list ([_ (in-range 11)]) 0.02))))
(define homo-map
  (make-map #"acgt" '(0.3029549426680 0.1979883004921 0.1975473066391 0.3015094502008)))

(define alu
  (bytes-append
   #"GGCCGGGCGCGGTGGCTCACGCCTGTAATCCCAGCACTTTGG"
   #"GAGGCCGAGGCGGGCGGATCACCTGAGGTCAGGAGTTCGAGA"
   #"CCAGCCTGGCCAACATGGTGAAACCCCGTCTCTACTAAAAAT"
   #"ACAAAAATTAGCCGGGCGTGGTGGCGCGCGCCTGTAATCCCA"
   #"GCTACTCGGGAGGCTGAGGCAGGAGAATCGCTTGAACCCGGG"
   #"AGGCGGAGGTTGCAGTGAGCCGAGATCGCGCCACTGCACTCC"
   #"AGCCTGGGCGACAGAGCGAGACTCCGTCTCAAAAA"))

(define out (current-output-port))
(define capacity (* 1024 (add1 width)))
(define buffer (make-bytes capacity))
(define used 0)
(define (flush!)
  (write-bytes buffer out 0 used)
  (set! used 0))

;; Fills the buffer with n letters, each from (next!), in lines.
(define-syntax-rule (fill! n next!)
  (let lines ([left n])
    (when (unsafe-fx> left 0)
      (let ([k (unsafe-fxmin left width)])
        (when (unsafe-fx> (unsafe-fx+ used (unsafe-fx+ k 1)) capacity) (flush!))
        (let ([start used])
          (let letters ([i 0])
            (when (unsafe-fx< i k)
              (unsafe-bytes-set! buffer (unsafe-fx+ start i) next!)
              (letters (unsafe-fx+ i 1))))
          (unsafe-bytes-set! buffer (unsafe-fx+ start k) 10)
          (set! used (unsafe-fx+ start (unsafe-fx+ k 1))))
        (lines (unsafe-fx- left k))))))

(define (header text)
  (flush!)
  (write-bytes text out))

(define (repeat text n)
  (header text)
  (define at -1)
  (define size (bytes-length alu))
  (fill! n (begin
             (set! at (let ([a (unsafe-fx+ at 1)]) (if (unsafe-fx= a size) 0 a)))
             (unsafe-bytes-ref alu at))))

(define state 42)
(define (random-sequence text n map)
  (header text)
  (define s state)
  (fill! n (begin
             (set! s (unsafe-fxmodulo (unsafe-fx+ (unsafe-fx* s 3877) 29573) IM))
             (unsafe-bytes-ref map s)))
  (set! state s))

(define n (command-line #:args ([n "1000"]) (string->number n)))
(repeat #">ONE Homo sapiens alu\n" (* n 2))
(random-sequence #">TWO IUB ambiguity codes\n" (* n 3) iub-map)
(random-sequence #">THREE Homo sapiens frequency\n" (* n 5) homo-map)
(flush!)
