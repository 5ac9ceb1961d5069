#!/bin/sh
# Faults of the machine: killed at any moment, calls that fail, a disk that is full, states that are damaged, losses that are not finite. A
# training that goes on by --resume alone ends in the bits of one that was left alone. The long form is long/faults.sh.
. "$top_srcdir/tests/e2e/common.sh"

kills=${FAULTS_KILLS:-5}                # of one training, at random moments
every=${FAULTS_EVERY:-71}               # each so many-th call fails, in each way
damages=${FAULTS_DAMAGES:-4}            # of a state, in each way
seed=${FAULTS_SEED:-$(date +%s)}
fail_calls=$tools/fail_calls.so

program "$here/tiny_maps.vmoe" ./maps
"$make_data" idx gray 16 64 16 4
"$make_data" idx more 16 320 128 4

# random N: $drawn is 0 .. N - 1.
random() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    drawn=$((seed / 65536 % $1))
}

unfinished() { find "$1" -name '*.tmp' | grep .; }
steps() { sed -n 's/^\({"step":.*\),"img_per_s.*/\1/p' "$1/metrics.jsonl"; }
same_run() {
    cmp "$1/last.safetensors" "$2/last.safetensors" && cmp "$1/best.safetensors" "$2/best.safetensors" &&
        steps "$1" >steps.1 && steps "$2" >steps.2 && cmp steps.1 steps.2 &&
        [ "$(wc -l <"$1/metrics.csv")" = "$(wc -l <"$2/metrics.csv")" ] && ! unfinished "$2"
}

# train FOLDER FLAGS...: go on by --resume alone, or begin with these flags where there is nothing yet to go on with.
train() {
    out=$1
    shift
    [ -e "$out/run.json" ] || set -- --resume "$@"
    [ ! -e "$out/run.json" ] || set -- --resume
    exec ./maps train --out "$out" "$@"
}

# Killed again and again, until a training was killed $kills times before its end; one that ends too early begins again.
kill_often() {
    killed=0 writing=0 evaluating=0 ended=0
    rm -rf killed
    while [ $killed -lt "$kills" ]; do
        random 1000
        delay=$(awk -v t="$took" -v k="$kills" -v r="$drawn" 'BEGIN { printf "%.3f", 0.01 + 3e-6 * t / k * r }')
        (train killed --data more --epochs "$epochs" --save-every 3) >/dev/null 2>>killed.err &
        pid=$!
        sleep "$delay"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        status=$?
        if [ $status = 137 ]; then
            killed=$((killed + 1))
            unfinished killed >/dev/null && writing=$((writing + 1))
            # The metrics end at the last step of an epoch: its evaluation was under way.
            last=$(tail -n 1 killed/metrics.jsonl 2>/dev/null | sed -n 's/^{"step":\([0-9]*\),.*}$/\1/p')
            [ -n "$last" ] && [ $((last % 10)) = 0 ] && evaluating=$((evaluating + 1))
        elif [ $status = 0 ] && same_run whole killed; then
            ended=$((ended + 1))
            rm -rf killed
        else
            echo "ended with $status"
            return 1
        fi
    done
    (train killed --data more --epochs "$epochs" --save-every 3) >killed.out 2>>killed.err
}
epochs=$((kills * 3 / 2))
began=$(date +%s%N)
holds "a training left alone" ./maps train --data more --epochs $epochs --out whole
took=$((($(date +%s%N) - began) / 1000000))
holds "killed $kills times, it ends" kill_often
holds "with the same bits" same_run whole killed
echo "# $killed kills, $writing of them in a write, $evaluating in an evaluation; $ended trainings ended before; seed $seed"
note <killed.err

# What fails is told and the run goes on by --resume; what does no harm changes nothing.
sweep() {
    random "$every"
    how=$1 k=$((1 + drawn)) harmless=0 told=0 died=0
    while [ $k -le "$calls" ]; do
        rm -rf failed
        status=0
        FAIL_HOW=$how FAIL_IN=$work/failed FAIL_AT=$k LD_PRELOAD=$fail_calls \
            ./maps train --data gray --out "$work/failed" --threads 1 --save-every 2 >fail.out 2>fail.err || status=$?
        case $status in
        0) harmless=$((harmless + 1)) ;;
        137) died=$((died + 1)) ;;
        1)
            told=$((told + 1))
            grep -q 'maps: .*\(No space left\|Input/output error\)' fail.err && grep -q "$work/failed" fail.err ||
                { echo "call $k:"; cat fail.err; return 1; }
            ;;
        *) echo "call $k: status $status"; cat fail.err; return 1 ;;
        esac
        if ! (train failed --data gray --threads 1) >fail.out 2>fail.err || ! same_run left failed; then
            echo "call $k: it does not go on"
            cat fail.err
            return 1
        fi
        k=$((k + every))
    done
    echo "# $how: $harmless did no harm, $told were told, $died killed"
}
if [ -n "$sanitized" ]; then
    skip "calls that fail" "the sanitizer wants to be loaded first"
else
    FAIL_IN=$work/left FAIL_COUNT=calls LD_PRELOAD=$fail_calls ./maps train --data gray --out "$work/left" --threads 1 --save-every 2 >/dev/null
    read -r calls <calls
    holds "there are calls that can fail" test "$calls" -gt 100
    for how in error half kill short; do
        holds "one of $calls calls fails, each ${every}th tried: $how" sweep $how
        grep '^#' holds.out
    done
fi

# The newest state, or the manifest, is damaged: what is whole serves.
newest() { sed -n 's/.*"file": "\(.*\)",/\1/p' "$1/state/manifest.json" | head -n 1; }
bytes() { wc -c <"$1"; }
flip() {
    random 32768
    at=$((drawn * 32768)) && random 32768
    at=$(((at + drawn) % $(bytes "$1"))) && random 8
    byte=$(od -An -tu1 -j $at -N 1 "$1") mask=$((1 << drawn))
    # shellcheck disable=SC2059
    printf "\\$(printf %o $((byte ^ mask)))" | dd of="$1" bs=1 seek=$at conv=notrunc 2>/dev/null
}
cut_off() {
    random 32768
    truncate -s $((drawn * 32749 % ($(bytes "$1") - 1))) "$1"         # more than the newline at its end
}
damaged() {
    what=$1 file=$2 pattern=$3 i=0
    while [ $i -lt "$damages" ]; do
        i=$((i + 1))
        rm -rf worn
        cp -r stopped worn
        [ "$file" != newest ] || name=$(newest stopped)
        [ "$file" = newest ] || name=$file
        $what "worn/state/$name"
        if cmp -s "stopped/state/$name" "worn/state/$name" || ! ./maps train --out worn --resume >worn.out 2>worn.err ||
            ! same_run left worn || ! grep -q "$pattern" worn.err; then
            cat worn.err
            return 1
        fi
    done
}
./maps train --data gray --out left --threads 1 --save-every 2 >/dev/null 2>&1
./maps train --data gray --out stopped --threads 1 --save-every 1 >/dev/null 2>&1         # states of steps 7 and 8, the last
holds "the newest state with a bit flipped: the other one serves" damaged flip newest 'damaged.*going on from the state of step 7'
holds "the newest state cut off" damaged cut_off newest 'damaged.*going on from the state of step 7'
holds "the newest state gone" damaged 'rm' newest 'gone.*going on from the state of step 7'
bad_disk() {
    rm -rf worn
    cp -r stopped worn
    READ_FAILS=worn/state/$(newest stopped) LD_PRELOAD=$fail_calls ./maps train --out worn --resume >worn.out 2>worn.err
    same_run left worn && grep 'damaged (cannot read .*Input/output error).*going on from the state of step 7' worn.err
}
[ -n "$sanitized" ] || holds "the newest state on a bad place of the disk" bad_disk
holds "the older state with a bit flipped: the newest one serves" damaged flip "$([ "$(newest stopped)" = 0.state ] && echo 1 || echo 0).state" \
    'damaged.*going on from the state of step 8'
holds "the manifest with a bit flipped" damaged flip manifest.json ''
holds "the manifest cut off" damaged cut_off manifest.json 'manifest.json is damaged'

# A disk that runs full while a training writes to it, and one that is too small from the beginning.
fill_up() {
    ./maps train --data gray --out disk/run --epochs 400 --threads 1 >full.out 2>full.err &
    pid=$!
    for _ in $(seq 200); do
        [ -s disk/run/state/manifest.json ] && break
        sleep 0.02
    done
    cat /dev/zero >disk/rest 2>/dev/null
    wait $pid
}
mkdir disk
if mount -t tmpfs -o size=1m none disk 2>/dev/null; then
    trap 'umount "$work/disk"; rm -rf "$work"' EXIT
    ends 1 'disk/run needs [0-9.]* MB.*its disk has [0-9.]* MB left; make room' "a disk that is too small is told before the first step" \
        ./maps train --data gray --out disk/run --threads 1
    room() { sed -n 's/.*needs \([0-9]*\)[.]\([0-9]\) MB.*/\1\2/p' err; }
    needed=$(room)
    ends 1 'make room' "with the weights of the best epochs" ./maps train --data gray --out disk/run --threads 1 --keep-best 16
    holds "it needs more" test "$(room)" -gt "$needed"
    mount -o remount,size=128k disk
    ends 1 'set TMPDIR to a folder with room' "too small for a dry run" env TMPDIR="$work/disk" ./maps train --data gray --dry-run
    mount -o remount,size=8m disk && rm -rf disk/run
    ends 1 '' "a disk runs full" fill_up
    holds "it says so, and how to go on" sh -c "grep -q 'No space left on device' full.err && grep -q 'train --resume --out disk/run' full.err"
    holds "no part of a file is left" sh -c '! find disk/run -name "*.tmp" | grep .'
    rm disk/rest
    holds "with room again it goes on" ./maps train --resume --out disk/run
    ./maps train --data gray --out roomy --epochs 400 --threads 1 >/dev/null 2>&1
    holds "to the same bits" same_run roomy disk/run
else
    skip "a disk that runs full" "needs the right to mount one"
fi
finish
