#!/bin/sh
# One training at a time in a run folder, where file systems have no locks.
. "$top_srcdir/tests/e2e/common.sh"
if [ -n "$sanitized" ]; then
    skip "folders without locks" "the sanitizer wants to be loaded first"
    finish
fi
program "$here/tiny_maps.vmoe" ./maps
"$make_data" idx gray 16 64 32 4
without_locks() { FLOCK_FAILS=1 LD_PRELOAD=$tools/odd_calls.so "$@"; }
train() { timeout -s KILL 20 ./maps train --data gray --threads 1 "$@"; }
until_seen() {      # COMMAND...: it succeeds within 10 seconds
    for _ in $(seq 500); do
        "$@" 2>/dev/null && return
        sleep 0.02
    done
    return 1
}
saved() { ls "$1"/state/*.state >/dev/null 2>&1; }
begin() {           # SWITCH FOLDER FLAGS...: in the background, until it has saved
    switch=$1 out=$2
    shift 2
    env "$switch=1" LD_PRELOAD="$tools/odd_calls.so" \
        ./maps train --data gray --threads 1 --epochs 1000000 --out "$out" "$@" >begun.out 2>begun.err &
    pid=$!
    until_seen saved "$out"
}
end() { kill -"$1" $pid; wait $pid 2>/dev/null; }
state() { sed -n 's/.*class="state \([a-z]*\)">.*/\1/p' "$1/report.html"; }
other=node3,17,5,4026531836,another-boot,0

# A folder of the user is none, however old, with locks or without.
mkdir -p theirs/claim/deep && echo precious >theirs/claim/notes.txt && touch -d '1 hour ago' theirs/claim/notes.txt theirs/claim/deep
for with in env without_locks; do
    ends 1 'theirs holds a .claim. that no training made; choose another --out' "a folder of the user's, $with" $with ./maps train --data gray --out theirs
done
rm -r theirs/claim/deep
ends 1 'that no training made' "with a file alone" ./maps train --data gray --out theirs
holds "is as it was" grep -qx precious theirs/claim/notes.txt

begin FLOCK_FAILS run
ends 1 'another training is running in run .process [0-9]* on .*choose another --out' "a second training is told of the first" \
    without_locks train --out run
ends 1 'another training' "also when it would go on" without_locks train --out run --resume
ends 1 'another training' "and where there are locks" train --out run --resume
ends 0 report.html "a report beside it" without_locks ./maps report --out run
holds "says that it runs" test "$(state run)" = running
holds "the first goes on" kill -0 $pid
end KILL
holds "it was killed: its claim is there" test -d run/claim
rm run/report.html
begin FLOCK_FAILS run --resume
until_seen test -e run/report.html
holds "and free at once: it goes on" test $? = 0
end TERM
holds "one that ends leaves none" test ! -e run/claim

# Of another machine only the time tells.
mkdir -p far/claim
: >far/claim/$other
ends 1 'another training is running in far .process 17 on node3.' "one of another machine" without_locks train --out far
touch -d '10 minutes ago' far/claim/$other
ends 0 done "that stands still for ten minutes is over, and its folder empty" without_locks train --out far --epochs 1
holds "its claim is gone" test ! -e far/claim

# Many find the claim of a dead one.
mkdir -p many/claim
: >many/claim/$other
touch -d '10 minutes ago' many/claim/$other
pids=
for n in 1 2 3 4 5 6; do
    env FLOCK_FAILS=1 LD_PRELOAD="$tools/odd_calls.so" ./maps train --data gray --threads 1 --epochs 1000000 --out many >many.$n.out 2>many.$n.err &
    pids="$pids $!"
done
refused() { [ "$(cat many.*.err | grep -c 'another training is running in many (process')" = 5 ]; }
until_seen refused
holds "of six one gets it, and the others are told" test $? = 0
until_seen saved many
holds "and it trains" test $? = 0
# shellcheck disable=SC2086
kill -KILL $pids 2>/dev/null
wait 2>/dev/null

# Over a network locks on folders are known to one machine alone.
begin NETWORK_FOLDERS net
holds "on a network there is a claim" test -d net/claim
ends 1 'another training' "and a lock" train --out net --resume
ends 1 'another training' "each is enough" without_locks train --out net --resume
end TERM

# A training that stood still, while another took over.
begin FLOCK_FAILS lost
mv lost/claim/* lost/claim/$other
(sleep 10 && kill -9 $pid) 2>/dev/null &
dog=$!
wait $pid
holds "it ends when it notices" test $? = 1
holds "and says so" grep -q 'another process has taken over' begun.err
holds "what it finds is left" test -e lost/claim/$other
kill $dog 2>/dev/null
finish
