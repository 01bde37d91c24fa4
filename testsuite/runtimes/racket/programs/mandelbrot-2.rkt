#lang racket/base
;; The Mandelbrot set on [-1.5,0.5] x [-1,1] as a portable bitmap: n x n, 50 iterations, eight pixels to a byte.
(require racket/cmdline racket/flonum racket/unsafe/ops)

(define iterations 50)

;; Whether the point is still within the radius of 2 after all iterations.
(define (inside? cr ci)
  (let loop ([zr 0.0] [zi 0.0] [left iterations])
    (define r2 (fl* zr zr))
    (define i2 (fl* zi zi))
    (cond
      [(fl> (fl+ r2 i2) 4.0) #f]
      [(unsafe-fx= left 0) #t]
      [else (loop (fl+ (fl- r2 i2) cr)
                  (fl+ (fl* 2.0 (fl* zr zi)) ci)
                  (unsafe-fx- left 1))])))

(define (mandelbrot n out)
  (define scale (fl/ 2.0 (->fl n)))
  (define row (make-bytes (quotient (+ n 7) 8)))
  (fprintf out "P4\n~a ~a\n" n n)
  (for ([y (in-range n)])
    (define ci (fl- (fl* scale (->fl y)) 1.0))
    (for ([b (in-range (bytes-length row))])
      (define first (* 8 b))
      (bytes-set! row b
                  (for/fold ([bits 0]) ([x (in-range first (+ first 8))])
                    (bitwise-ior (arithmetic-shift bits 1)
                                 (if (and (< x n) (inside? (fl- (fl* scale (->fl x)) 1.5) ci)) 1 0)))))
    (write-bytes row out)))

(mandelbrot (command-line #:args ([n "64"]) (string->number n)) (current-output-port))
