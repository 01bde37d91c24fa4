(* What touches the system: threads, signals, children, a stack that overflows. *)
let () =
  let total = ref 0 and lock = Mutex.create () in
  let work n =
    for i = 1 to 1000 do
      Mutex.lock lock;
      total := !total + (i * n);
      Mutex.unlock lock;
      if i mod 100 = 0 then Thread.yield ()
    done
  in
  List.iter Thread.join (List.init 8 (Thread.create work));
  Printf.printf "threads %d\n%!" !total;
  let caught = ref 0 in
  Sys.set_signal Sys.sigusr1 (Sys.Signal_handle (fun _ -> incr caught));
  for _ = 1 to 5 do
    Unix.kill (Unix.getpid ()) Sys.sigusr1;
    Thread.yield ()
  done;
  Printf.printf "signals %d\n%!" !caught;
  let from, into = Unix.pipe () in
  (match Unix.fork () with
  | 0 ->
      ignore (Unix.write_substring into "child" 0 5);
      exit 9
  | pid ->
      let b = Bytes.create 5 in
      ignore (Unix.read from b 0 5);
      let _, status = Unix.waitpid [] pid in
      Printf.printf "%s %s\n%!" (Bytes.to_string b) (match status with Unix.WEXITED n -> string_of_int n | _ -> "?"));
  let rec deep n = if n = 0 then 0 else 1 + deep (n - 1) in
  (try Printf.printf "%d\n" (deep max_int) with Stack_overflow -> print_endline "stack overflow");
  Gc.compact ();
  Printf.printf "%s" (input_line (Unix.open_process_in "echo shell"));
  exit 3
