#!/bin/sh
# Threads of compiler and runtime under the thread sanitizer: a build with --enable-thread-sanitizer. Generated code is not
# instrumented; what it shares between threads passes through the runtime's launches, which are.
. "$top_srcdir/tests/e2e/common.sh"

if ! grep -q '^#define VMOE_THREAD_SANITIZE 1' "$top_builddir/config.h"; then
    skip "no data race" "needs --enable-thread-sanitizer"
    finish
fi
TSAN_OPTIONS="exitcode=66 halt_on_error=0"
export TSAN_OPTIONS

# no_race NAME COMMAND...: it succeeds, and the sanitizer has nothing to say.
no_race() {
    race_name=$1
    shift
    "$@" >out 2>err </dev/null
    race_status=$?
    if [ $race_status = 0 ] && ! grep -q 'ThreadSanitizer' err; then
        pass "$race_name"
    else
        fail "$race_name"
        { echo "$* gave $race_status"; grep -A 12 'ThreadSanitizer' err || tail -5 err; } | note
    fi
}

# The check of the checker: a race that is planted is found.
cat >planted.c <<'C'
#include <pthread.h>
static int shared;
static void *add(void *data) { shared++; return data; }
int main(void)
{
    pthread_t t;
    pthread_create(&t, NULL, add, NULL);
    shared++;
    pthread_join(t, NULL);
    return 0;
}
C
gcc -fsanitize=thread -g planted.c -o planted && ./planted >/dev/null 2>err
holds "a planted race is found" grep -q 'data race' err

VMOE_CACHE=$work/cache
export VMOE_CACHE
no_race "the compiler's threads" "$vmoec" build "$here/tiny_maps.vmoe" -o maps
no_race "with what was kept" "$vmoec" build "$here/tiny_maps.vmoe" -o maps
"$vmoec" build "$here/recipes.vmoe" --experiment everything -o everything 2>/dev/null
"$make_data" tree colour 20 192 64 4
tar cf colour.tar colour
no_race "a training" ./maps train --data colour --out a --threads 4 --epochs 2 --save-every 3
./maps train --data colour --out c --threads 4 --epochs 60 >out 2>err </dev/null &
pid=$!
while kill -0 $pid 2>/dev/null && ! [ -s c/metrics.csv ]; do sleep 0.05; done
kill -TERM $pid
wait $pid
stopped=$?
holds "a training stops at a signal" test $stopped = 143 -a "$(grep -c ThreadSanitizer err)" = 0
no_race "and goes on" ./maps train --out c --resume --threads 3
no_race "augmented pictures of a tar" ./everything train --data colour.tar --out b --threads 4 --epochs 2
no_race "an evaluation" ./maps eval --data colour --weights a/best.safetensors --threads 4
no_race "predictions" ./maps predict colour/test --weights a/best.safetensors --threads 4
no_race "a check of the data" ./maps check-data --data colour --threads 4
no_race "measuring" ./maps bench --train --seconds 0.2 --threads 4
finish
