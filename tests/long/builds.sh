#!/bin/sh
# Builds where the machine fails them, for minutes (20, or the number that is given): on disks that are too small, with a full cache, three
# at once in one cache while its objects are being damaged, ended at any moment. Each ends with a status that says what it was; a program
# that is built has the bytes of one that was built in peace; a build that fails leaves what was there, and nothing else.
#   make long MINUTES=3, or: top_srcdir=.. top_builddir=$PWD ../tests/long/builds.sh 3       (in the build folder)
# The disks need the right to mount them.
. "$top_srcdir/tests/e2e/common.sh"
minutes=${1:-20}
seed=${BUILDS_SEED:-$(date +%s)}
export TMPDIR="$work/tmp"
mkdir tmp peace disk
unset VMOE_CACHE

# random N: $drawn is 0 .. N - 1.
random() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    drawn=$((seed / 65536 % $1))
}
lasts() { [ $(($(date +%s) - began)) -lt $((minutes * 60 * $1 / 4)) ]; }

# Several programs, which share some of their kernels, and what is made of them.
variants="tokens tokens_wide tokens_narrow maps"
flags_of() {
    case $1 in
    tokens) echo "$here/tiny_tokens.vmoe" ;;
    tokens_wide) echo "$here/tiny_tokens.vmoe -O0" ;;
    tokens_narrow) echo "$here/tiny_tokens.vmoe --target x86-64-v2" ;;
    maps) echo "$here/tiny_maps.vmoe" ;;
    esac
}
forms="exe exe exe obj asm llvm plan spec"
draw() {        # $variant and $form
    # shellcheck disable=SC2086
    { random 4 && set -- $variants && shift $drawn && variant=$1
      random 8 && set -- $forms && shift $drawn && form=$1; }
}
# shellcheck disable=SC2046
build() { "$vmoec" build $(flags_of "$1") --emit "$2" -o "$3"; }
for variant in $variants; do
    for form in exe obj asm llvm plan spec; do
        VMOE_CACHE='' build $variant $form peace/$variant.$form 2>log || { cat log; echo "Bail out! $variant does not build"; exit 1; }
    done
done

# ended STATUS OUTPUT OLD LOG: of a build of $variant as $form that was to replace OLD. Counts; false: it should not have ended so.
built=0 full=0 unlinked=0 stopped=0
ended() {
    case $1 in
    0) built=$((built + 1)) && cmp "peace/$variant.$form" "$2" ;;
    1)
        cmp "$3" "$2" || return 1
        if grep -q '^error\[V0702\].*No space left on device' "$4"; then
            full=$((full + 1))
        else
            unlinked=$((unlinked + 1)) && grep -q '^error\[V0802\]' "$4" && grep -q 'KiB left, a program may take' "$4"
        fi ;;
    143) stopped=$((stopped + 1)) && { cmp -s "$3" "$2" || cmp "peace/$variant.$form" "$2"; } ;;
    *) return 1 ;;
    esac
}
bad() {
    echo "$1: $variant as $form ended with $status"
    cat log
    ls -lA disk tmp
    return 1
}
scraps() { find "$work" -name '.vmoec-*' -o -path "$work/tmp/*" -o -path "$work/disk/vmoec-*" | grep .; }
count_builds() { echo "# $1: $built built, $full for want of room, $unlinked not linked for want of room, $stopped stopped"; built=0 full=0 unlinked=0 stopped=0; }

echo old >old
began=$(date +%s)
small_disks() {
    while lasts 1; do
        draw
        random 3
        case $drawn in
        0) size=300 cache=$work/cache tmp=$work/tmp ;;                           # the output's
        1) random 4000 && size=$((300 + drawn)) cache=$work/cache tmp=$work/disk ;;     # where it works, too
        2) random 4000 && size=$((300 + drawn)) cache=$work/disk/cache tmp=$work/tmp ;; # the cache's, too
        esac
        mount -o remount,size=${size}k disk || return 1
        cp old disk/out
        TMPDIR=$tmp VMOE_CACHE=$cache build $variant $form disk/out 2>log
        status=$?
        ended $status disk/out old log && ! scraps || bad "a disk of $size KiB" || return 1
        rm -rf disk/* disk/.[!.]*
    done
}
full_cache() {
    mount -o remount,size=300k disk && mkdir -m 700 disk/cache || return 1
    while lasts 2; do
        draw
        random 3 && [ $drawn != 0 ] || rm -rf disk/cache/*
        VMOE_CACHE=$work/disk/cache build $variant $form out 2>log
        status=$?
        [ $status = 0 ] && ended 0 out old log && ! scraps || bad "a full cache" || return 1
    done
}

# Whatever a disk, a neighbour or a killed machine does to files, one after the other, until there is a file `enough`.
damage() {
    while [ ! -e enough ]; do
        for object in shared/*.o; do
            random 60
            size=$(stat -c %s "$object")
            at=$((size * drawn / 60))
            case $drawn in
            0) : >"$object" ;;
            1) truncate -s $at "$object" ;;
            2) dd if=/dev/zero of="$object" bs=1 seek=$at count=64 conv=notrunc ;;
            3) printf x | dd of="$object" bs=1 seek=$at conv=notrunc ;;
            4) cp "$(ls shared/*.o | head -n $((1 + at % 50)) | tail -n 1)" "$object" ;;
            5) rm "$object" ;;
            6) : >"$object" && truncate -s "$size" "$object" ;;
            7) chmod g+w "$object" ;;
            esac
        done
    done 2>/dev/null
}
three_at_once() {
    rm -f enough
    mkdir -p -m 700 shared
    damage &
    damager=$! status=0
    while lasts "$1" && [ $status = 0 ]; do
        for i in 1 2 3; do
            draw
            cp old "out.$i"
            [ "$2" = 0 ] || random "$2"
            [ "$2" = 0 ] || set -- "$1" "$2" "timeout -s TERM $((drawn / 100)).$((drawn / 10 % 10))$((drawn % 10))"
            # shellcheck disable=SC2046,SC2086
            VMOE_CACHE=$work/shared ${3:-} "$vmoec" build $(flags_of "$variant") --emit "$form" -o "out.$i" 2>"log.$i" &
            eval "pid$i=$! variant$i=$variant form$i=$form"
        done
        for i in 1 2 3; do
            eval "variant=\$variant$i form=\$form$i; wait \$pid$i"
            result=$?
            [ $result != 124 ] || result=143
            ended $result "out.$i" old "log.$i" || { cp "log.$i" log && status=$result bad "three at once"; status=1; }
        done
        ! scraps || status=1
    done
    : >enough
    wait $damager
    return $status
}
run() {
    name=$1
    shift
    if "$@" >report 2>&1; then
        pass "$name"
    else
        fail "$name"
        note <report
    fi
    count_builds "$name"
}
if mount -t tmpfs -o size=300k none disk 2>/dev/null; then
    trap 'umount "$work/disk"; rm -rf "$work"' EXIT
    run "disks that are too small" small_disks
    run "a full cache" full_cache
else
    skip "disks that are too small" "needs the right to mount one"
    skip "a full cache" "needs the right to mount one"
fi
run "three at once in a cache that is being damaged" three_at_once 3 0
run "the same, ended at any moment" three_at_once 4 150
echo "# seed $seed"
finish
