#!/bin/sh
# What a program finds when it starts: descriptors that are closed, signals that are ignored or come early, pipes in the
# place of files, processors that are too old or many, little
# memory, no OpenBLAS.
. "$top_srcdir/tests/e2e/common.sh"
program "$here/tiny_maps.vmoe" ./maps
"$make_data" idx gray 16 64 32 4
"$make_data" tree colour 20 64 32 4

# Descriptors. A picture that cannot be read makes a training talk.
first=$(find colour/train -type f | sort | head -n 1)
printf x >"$first"
program "$here/tiny_tokens.vmoe" ./tokens
talk() { ./tokens train --data colour --threads 1 --epochs 2 --bad-pictures 0.5 --out "$@"; }
closed() { "$@" <&- >&- 2>&-; }
results() { cut -d , -f 1-9 "$1/metrics.csv"; }
talk open >/dev/null 2>&1
holds "0, 1 and 2 are closed: what a training says is lost" closed talk shut
holds "every line of the metrics is JSON" sh -c '! grep -v "^{.*}$" shut/metrics.jsonl'
holds "and the results are the same" test "$(results open)" = "$(results shut)"
holds "in the weights, too" cmp open/last.safetensors shut/last.safetensors
no_stdout() { "$@" >&-; }
ends 1 'could not be written' "1 is closed: a result is an error" no_stdout ./maps info
ends 1 'could not be written' "that of train --json, too" no_stdout talk lost --json
ends 1 'could not be written' "and of a dry run" no_stdout talk lost --dry-run
no_stdin() { "$@" <&-; }
ends 1 'cannot read the list on stdin: Bad file' "0 is closed: there is no list of pictures" \
    no_stdin ./tokens predict - --weights open/last.safetensors
# The linker, which opens files of its own, finds the three open.
cat >cc <<'END'
#!/bin/sh
for n in 0 1 2; do [ -e /proc/$$/fd/$n ] || exit 9; done
exec cc "$@"
END
chmod +x cc
build_closed() { CC=./cc "$vmoec" build "$here/tiny_maps.vmoe" -o built <&- >&- 2>&-; }
holds "the compiler, all three closed" build_closed
holds "its program is whole" ./built info
ends 1 'cannot write standard output' "1 is closed: what it prints is an error" no_stdout "$vmoec" info "$here/tiny_maps.vmoe"

# Signals.
until_seen() {      # COMMAND...: it succeeds within 10 seconds
    for _ in $(seq 500); do
        "$@" 2>/dev/null && return
        sleep 0.02
    done
    return 1
}
ended() {           # wait for $pid, whose status this is; 137 if it takes 10 seconds
    (sleep 10 && kill -9 $pid) 2>/dev/null &
    dog=$!
    wait $pid
    status=$?
    kill $dog 2>/dev/null
    return $status
}
steps() { grep -c '^{"step"' "$1/metrics.jsonl" || true; }
at_step() { [ "$(steps "$1")" -ge "$2" ]; }
goes_on() { until_seen at_step "$1" "$(($(steps "$1") + 3))"; }
trap '' HUP INT TERM USR1 XCPU
./maps train --data gray --threads 1 --epochs 1000000 --out ignoring >/dev/null 2>&1 &
pid=$!
trap 'exit 1' INT TERM
trap - HUP USR1 XCPU
until_seen test -s ignoring/metrics.jsonl
for signal in HUP INT TERM USR1 XCPU; do
    kill -$signal $pid
    holds "SIG$signal was ignored at the start: it stays so" goes_on ignoring
done
kill -KILL $pid
wait $pid

# A step that does not end: the output is a pipe that is full and that nobody reads. A shell starts what runs in the
# background with SIGINT ignored.
has_bit() { [ $((0x0$(sed -n "s/^$2:.//p" "/proc/$1/status") >> ($3 - 1) & 1)) = 1 ]; }      # PID MASK SIGNAL
hang_up_twice() {
    kill -HUP $pid && until_seen lacks_term && kill -HUP $pid && sleep 0.2 && has_bit $pid SigIgn 2 && has_bit $pid SigCgt 1
}
lacks_term() { ! has_bit $pid SigCgt 15; }
mkfifo full && exec 8<>full
timeout 1 cat /dev/zero >&8
./maps train --data gray --threads 1 --out stuck >&8 2>/dev/null &
pid=$!
until_seen has_bit $pid SigCgt 15
sleep 0.3
holds "when an end was asked for, SIGINT stays ignored, and SIGHUP may come again" hang_up_twice
kill -TERM $pid
ended
holds "SIGTERM ends it at once" test $? = 143
exec 8>&-
too_long() { (ulimit -S -t 1 && exec ./maps train --data gray --threads 1 --epochs 1000000 --out long); }
ends 152 'the state is saved, go on with' "a limit of processor time saves" too_long
holds "the state is whole" grep -q '"step"' long/state/manifest.json

if [ -n "$sanitized" ]; then
    skip "a signal while data are looked at" "the sanitizer wants to be loaded first"
else
    look() {        # SIGNAL FLAGS...: the signal comes while the folder of the data is read
        signal=$1
        shift
        rm -f looks
        SLOW_FOLDERS=$work/looks LD_PRELOAD=$tools/odd_calls.so TMPDIR=$work/tmp \
            env --default-signal=INT ./tokens train --data colour "$@" >/dev/null 2>&1 &
        pid=$!
        until_seen test -e looks
        sleep 0.2
        kill -"$signal" $pid
        ended
    }
    mkdir tmp
    for signal in INT:130 TERM:143 HUP:129; do
        ends ${signal#*:} '' "SIG${signal%:*} while data are looked at ends it at once" look ${signal%:*} --out early
    done
    holds "nothing is there to go on with" test "$(ls early)" = ""
    ends 130 '' "a dry run, too" look INT --dry-run
    holds "and its folder is gone" test "$(ls tmp)" = ""
fi
# Pipes, devices, folders and sockets where files of a run are: told, not waited for.
./maps train --data gray --threads 1 --epochs 1 --out run >/dev/null 2>&1
cp run/analysis.json run/bad_pictures.txt
odd() {             # NAME COMMAND: status 1 in a copy of the run whose file NAME is none, whatever stands in its place
    for make in mkfifo mkdir 'ln -s /dev/zero'; do
        rm -rf odd && cp -r run odd && rm -r "odd/$1" && $make "odd/$1"
        timeout -s KILL 5 ./maps $2 --out odd >odd.out 2>odd.err </dev/null
        [ $? = 1 ] && grep -q "odd/$1.*not a \(regular file\|directory\)" odd.err || { echo "$make"; cat odd.err; return 1; }
    done
}
for name in $(cd run && ls -d ./*.* state/*); do
    case $name in ./events*) ;; *) holds "${name#./} is no file: it does not go on" odd "${name#./}" 'train --resume' ;; esac
done
for name in run.json analysis.json spec.vmoe metrics.jsonl "$(cd run && ls events*)"; do
    holds "$name is no file: no report" odd "$name" report
done
mkfifo pipe pipe.json
ends 1 'not a regular file' "weights" timeout -s KILL 5 ./maps eval --data gray --weights pipe
ends 1 'not a regular file' "weights to begin with" timeout -s KILL 5 ./maps train --data gray --weights pipe --out piped
ends 1 'not a regular file' "ReaL labels" timeout -s KILL 5 ./maps eval --data gray --weights run/last.safetensors --real pipe.json
ends 1 'not a regular file' "a map of classes" timeout -s KILL 5 ./maps eval --data gray --weights run/last.safetensors --class-map pipe
# Processors, by QEMU.
qemu=$(command -v qemu-x86_64-static || command -v qemu-x86_64)
if [ -z "$qemu" ] || [ "$(uname -m)" != x86_64 ]; then
    skip "processors that are too old" "needs qemu-user-static, on x86-64"
elif [ -n "$sanitized" ]; then
    skip "processors that are too old" "the sanitizer does not run under QEMU"
else
    on() {          # MODEL COMMAND...: without what QEMU says of its models
        model=$1
        shift
        timeout 60 env -u OPENBLAS_CORETYPE "$qemu" -cpu "$model" "$@" 2>on.err
        status=$?
        grep -v '^qemu-x86_64.* TCG ' on.err >&2
        return $status
    }
    for level in 2 3 4; do
        program "$here/tiny_maps.vmoe" ./maps.$level --target x86-64-v$level
    done
    ends 1 'lacks instructions of the program .AVX-512.; .*vmoec build .*tiny_maps.vmoe --target x86-64-v3' "AVX-512 on Haswell" \
        on Haswell ./maps.4 info
    holds "in the first line" sh -c 'head -n 1 err | grep -q "^./maps.4: this processor lacks"'
    ends 1 'lacks instructions .*.AVX, AVX2, .*, AVX-512.; .*--target x86-64-v2$' "on Nehalem" on Nehalem ./maps.4 --help
    ends 1 'lacks instructions .*.AVX, AVX2, .*FMA.*--target x86-64-v2$' "AVX2 on Nehalem" on Nehalem ./maps.3 train --data gray --out old
    ends 1 'lacks instructions .*SSE4.2.*none older than x86-64-v2' "a processor older than all of them" on core2duo ./maps.2 info
    ends 0 'done' "what is told to be built runs" on Nehalem ./maps.2 train --data gray --out nehalem --epochs 1 --threads 1
    ends 0 'top-1' "on Haswell, too" on Haswell ./maps.3 eval --data gray --weights run/last.safetensors --limit 4 --threads 1
fi
# How many threads.
ends 0 '"threads":[1-9][0-9]*,"processors":[1-9][0-9]*,"allowed":[1-9][0-9]*,"cpu_quota":[0-9.]*}' "info says how many threads" ./maps info --json
cpu=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)
ends 0 '"threads":1,.*"allowed":1,' "one, on one processor" taskset -c "$cpu" ./maps info --json
ends 0 '^threads: 1 .of ' "in words" taskset -c "$cpu" ./maps info
if [ -z "$sanitized" ]; then
    ends 0 '"allowed":3000,' "more processors than a usual mask holds" env MANY_PROCESSORS=1 LD_PRELOAD="$tools/odd_calls.so" ./maps info --json
fi
# Little memory, and OpenBLAS, which spins for ever where it has none: programs with products of their own do not know it.
ends 1 '' "a program is not linked with OpenBLAS" sh -c 'ldd ./maps | grep -i -e blas -e gfortran -e gomp'
limited() {         # KIBIBYTES COMMAND: with so much address space
    (ulimit -v "$1" && shift && exec timeout -s KILL 30 "$@")
}
if [ -n "$sanitized" ]; then
    skip "little memory" "the sanitizer takes terabytes of it"
else
    ends 0 'done' "a training in 200,000 KiB" limited 200000 ./maps train --data gray --out little --epochs 1 --threads 1
    ends 0 'top-1' "and an evaluation" limited 200000 ./maps eval --data gray --weights little/last.safetensors --threads 1
    ends 1 'no memory|fewer (--)?threads' "too little for many threads is told" limited 200000 ./maps train --data gray --out less --threads 64
fi
if [ "$(uname -m)" = x86_64 ] && [ -z "$sanitized" ]; then
    program "$here/tiny_maps.vmoe" ./maps.2 --target x86-64-v2
    ends 1 'no memory: OpenBLAS takes 464 MiB .* 2 threads; .*--target x86-64-v3' "one that needs OpenBLAS says how much that takes" \
        limited 200000 ./maps.2 train --data gray --out lacking --threads 2
    holds "before anything is begun" test "$(ls lacking)" = ""
    ends 0 'done' "it has enough" limited 900000 ./maps.2 train --data gray --out enough --epochs 1 --threads 2
    ends 0 'top-1' "it does not evaluate with OpenBLAS" limited 200000 ./maps.2 eval --data gray --weights enough/last.safetensors --threads 1
    without() { NO_LIBRARY=libopenblas LD_PRELOAD=$tools/odd_calls.so "$@"; }
    ends 1 'needs OpenBLAS to train.*libopenblas0-openmp' "no OpenBLAS" without ./maps.2 train --data gray --out without --threads 1
    ends 1 'libopenblas0-openmp' "nor for a measurement" without ./maps.2 bench --train --threads 1
    ends 0 'top-1' "it evaluates" without ./maps.2 eval --data gray --weights enough/last.safetensors --threads 1
    ends 0 'done' "other programs do not ask for it" without ./maps train --data gray --out without.2 --epochs 1 --threads 1
fi
finish
