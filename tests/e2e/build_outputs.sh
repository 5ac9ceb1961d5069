#!/bin/sh
# Outputs of the compiler destroy nothing: neither what is read, nor what was there where a build fails, nor what is no file. Nothing
# is left behind, however a build ends; and what a linker lacks is told.
. "$top_srcdir/tests/e2e/common.sh"
tiny=$here/tiny_tokens.vmoe
TMPDIR=$(pwd -P)/tmp
export TMPDIR
mkdir tmp
program "$tiny" peace

# stays FILE COPY NAME: the file is what it was. clean NAME: nothing lies about.
stays() { holds "$3: $1 stays" cmp "$1" "$2"; }
is_clean() { ! find . -name '.vmoec-*' -o -path './tmp/*' | grep .; }
clean() { holds "$1: nothing is left" is_clean; }

# What is read is not written, by whatever name.
cat >uses <<'END'
vmoe 1
use "./lib.vmoe" as lib
use std.layers
model m amends lib.tiny { }
END
sed 's/^model [a-z_]*/model tiny/' "$tiny" >lib.vmoe
cp "$tiny" net
cp -r "$top_srcdir/stdlib" std
for f in uses lib.vmoe net std/layers.vmoe; do cp "$f" "$(basename "$f").copy"; done
mkdir folder
ln -s ../net folder/link
ln net hard
refused() {     # NAME, FILE that stays, FLAGS...
    name=$1 file=$2
    shift 2
    ends 1 'V0703.*' "$name" "$vmoec" build "$@"
    holds "$name: it says what to do" grep -q 'choose another name with -o' err
    stays "$file" "$(basename "$file").copy" "$name"
}
refused "a source without .vmoe" net net
for form in exe obj asm llvm plan graph spec ast; do
    refused "--emit $form -o SOURCE" net net --emit $form -o net
    refused "--emit $form -o a file that it uses" lib.vmoe uses --emit $form --model m -o lib.vmoe
done
refused "-o SOURCE by another path" net net -o folder/../net
refused "-o a link to SOURCE" net net -o folder/link
refused "-o SOURCE by another of its names" net net -o hard
refused "-o a file of the library" std/layers.vmoe uses --model m --stdlib std -o std/layers.vmoe
holds "the link stays" test -L folder/link
mkdir -p own/runtime
cp "$vmoec" own/ && cp "$top_builddir/runtime/libvrt.a" own/runtime/
for part in vmoec runtime/libvrt.a; do
    ends 1 V0703 "-o $part of the compiler" own/vmoec build "$tiny" -o own/$part
    stays "own/$part" "$top_builddir/$part" "-o $part"
done
append() { "$vmoec" build net --emit ast >>net; }
ends 1 'V0703' "output that is appended to SOURCE" append
stays net net.copy "output that is appended to SOURCE"
read_twice() { "$vmoec" build /dev/stdin --emit ast <net >ast.1 && "$vmoec" build net --emit ast -o ast.2 && sed 1d ast.1 >1 && sed 1d ast.2 >2 && cmp 1 2; }
holds "a source that is piped" read_twice
mkfifo used.vmoe
sed 's/lib\.vmoe/used.vmoe/' uses >uses_pipe
read_once() {
    timeout 20 "$vmoec" build uses_pipe --emit ast -o ast.3 && {
        timeout 20 cp lib.vmoe used.vmoe &
        timeout 20 "$vmoec" build uses_pipe --model m --emit spec -o spec.3
    }
}
holds "a file that is used and is a pipe is read once, and not for its path" read_once
large() {       # as many large files as check takes
    { echo 'vmoe 1' && yes "# $(printf %0998d 0)" | head -1040; } >part.vmoe
    { echo 'vmoe 1' && for n in $(seq 36); do ln part.vmoe part$n.vmoe && echo "use \"./part$n.vmoe\" as part$n"; done; sed 1d uses; } >many
    "$vmoec" check many --model m && "$vmoec" build many --model m --emit spec -o many.spec && "$vmoec" build many --emit ast -o many.ast
}
holds "what check takes is built" large
for form in ast spec; do
    refused "--emit $form -o a file used after many large ones" lib.vmoe many --emit $form --model m -o lib.vmoe
done
rm part*.vmoe
clean "refused"

# What is no regular file is written in place; links are followed.
mkfifo fifo
cat fifo >fifo.got &
holds "-o FIFO" "$vmoec" build "$tiny" -o fifo
wait
holds "the program comes out of it" cmp peace fifo.got
holds "the FIFO stays" test -p fifo
ends 1 'V0702.*No space left' "-o a device that is full" "$vmoec" build "$tiny" --emit graph -o /dev/full
ends 1 'V0702.*No space left' "a program, too" "$vmoec" build "$tiny" -o /dev/full
holds "-o a device" "$vmoec" build "$tiny" -o /dev/null
holds "devices stay" test -c /dev/full -a -c /dev/null
between() { (echo before && "$vmoec" build "$tiny" --emit "$1" -o "$2" && echo after) >text && "$vmoec" build "$tiny" --emit "$1" -o whole &&
    (echo before && cat whole && echo after) | cmp - text; }
for form in ast graph llvm asm; do
    holds "--emit $form -o - is standard output" between $form -
done
for form in spec obj; do
    holds "--emit $form -o /dev/stdout, too, and in place" between $form /dev/stdout
done
holds "no file is called -" test ! -e ./-
ends 1 'V0702.*a program is a file' "a program is not written to standard output" "$vmoec" build "$tiny" -o -
ends 1 'V0702.*a program is a file' "by no name" "$vmoec" build "$tiny" -o /dev/stdout
ln -s real made
holds "-o a link to nothing" "$vmoec" build "$tiny" --emit spec -o made
holds "its target is made" test -L made -a -s real
chmod 600 real
holds "-o a link to a file" "$vmoec" build "$tiny" -o made
holds "its target is replaced, as private as it was" sh -c 'test -L made && cmp peace real && test "$(stat -c %a real)" = 700'
ln -s round about && ln -s about round
ends 1 'V0702.*round: ' "-o links in a circle" "$vmoec" build "$tiny" -o round
ends 1 'V0702.*cannot write folder: it is a folder' "-o FOLDER" "$vmoec" build "$tiny" -o folder
cp "$tiny" folder.vmoe
ends 1 'V0702.*cannot write folder: it is a folder' "a folder where the program goes" "$vmoec" build folder.vmoe
holds "the folder stays" test -L folder/link
ends 1 'V0702' "-o without a name" "$vmoec" build "$tiny" -o ''
holds "-o like an option" "$vmoec" build "$tiny" -o -x
holds "is a name" cmp peace ./-x
clean "in place"

# Before the long work, which would fill a cache.
for out in absent/x absent/ "$work/absent/x"; do
    ends 1 'V0702.*there is no folder .*absent' "-o $out" env VMOE_CACHE=$work/early "$vmoec" build "$tiny" -o $out
done
ends 1 'V0702.*set|set TMPDIR' "TMPDIR that is not there" env VMOE_CACHE=$work/early TMPDIR=$work/absent "$vmoec" build "$tiny" -o early.out
holds "they are told before the work" test ! -e early -a ! -e early.out

# A build that fails leaves the program that was there.
# fails PATTERN NAME COMMAND...
fails() {
    pattern=$1 name=$2
    shift 2
    cp peace kept
    ends 1 "$pattern" "$name" "$@" -o kept
    stays kept peace "$name"
    clean "$name"
}
fails 'V0802.*false could not link kept' "a linker that fails" env CC=false "$vmoec" build "$tiny"
fails 'V0802.*cannot run no-such-cc' "no linker" env CC=no-such-cc "$vmoec" build "$tiny"
holds "it names the package" grep -q 'the package gcc brings a C compiler' err
script() {      # FILE, stdin: a C compiler
    { echo '#!/bin/sh' && cat; } >"$1"
    chmod +x "$1"
}
script killed <<'END'
kill -SEGV $$
END
fails 'V0802.*could not link kept: Segmentation' "a linker that falls" env CC=./killed "$vmoec" build "$tiny"
small_files() (ulimit -f "$1" && shift && exec "$@")
fails 'V0702.*File too large' "a limit on sizes" small_files 1 "$vmoec" build "$tiny" --emit graph
fails 'V0702.*File too large' "for objects" small_files 100 "$vmoec" build "$tiny" --emit obj
fails 'V0702.*objects\.a: File too large' "for what is linked" small_files 100 "$vmoec" build "$tiny"
holds "more room would not help" sh -c '! grep "room" err'
fails 'V0802.*could not link|V0702.*File too large' "for the linker" small_files 2000 "$vmoec" build "$tiny"

# shellcheck disable=SC2059
blanks() { env CC="$(printf "$1")" "$vmoec" build "$tiny" -o kept; }
for cc in 'cc\t-O1' '\tcc\n -O1\t' ' \t\n '; do
    rm -f kept
    holds "CC='$cc'" blanks "$cc"
    holds "CC='$cc': the program is the same" cmp peace kept
done

# Signals, at the linker and on the way to it.
script signals <<'END'
echo $$ >pid
kill -s "$SIGNAL" "$PPID"
exec sleep 20
END
gone() {
    for _ in $(seq 100); do
        grep -qs '^[0-9]* (sleep) [^Z]' "/proc/$(cat pid)/stat" || return 0
        sleep 0.02
    done
    return 1
}
for signal in HUP:129 INT:130 QUIT:131 ILL:132 TRAP:133 BUS:135 FPE:136 USR1:138 SEGV:139 USR2:140 ALRM:142 TERM:143 PROF:155 RTMIN:162; do
    SIGNAL=${signal%:*} CC=./signals
    export SIGNAL CC
    cp peace kept
    ends "${signal#*:}" '' "SIG$SIGNAL" env --default-signal=INT,QUIT \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:handle_segv=0:handle_sigbus=0:handle_sigfpe=0" "$vmoec" build "$tiny" -o kept
    stays kept peace "SIG$SIGNAL"
    clean "SIG$SIGNAL"
    holds "SIG$SIGNAL: the linker ends too" gone
done
unset SIGNAL CC
script ignored <<'END'
kill -s HUP "$PPID"
exec cc "$@"
END
small_stack() (ulimit -s "$1" && ulimit -c 0 && exec "$vmoec" build "$tiny" -o kept)
overflows() {
    fallen=0
    for size in 32 40 48 56 64 80 96; do
        cp peace kept
        VMOE_CACHE='' small_stack $size
        [ $? != 139 ] || fallen=$((fallen + 1))
        cmp peace kept && is_clean || return 1
    done
    [ $fallen -gt 0 ]
}
[ -n "$sanitized" ] || holds "stacks that overflow: nothing is left" overflows
ignoring() (trap '' HUP && exec "$@")
holds "a signal that is ignored stays so" ignoring env CC=./ignored "$vmoec" build "$tiny" -o kept
at_moments() {
    for moment in 0.02 0.05 0.1 0.15 0.2 0.25 0.3 0.4; do
        cp peace kept
        timeout -s TERM $moment "$vmoec" build "$tiny" -o kept
        cmp peace kept || return 1
        is_clean || return 1
    done
}
holds "ended at any moment" at_moments

# Calls that fail: an error and no change, or the right program.
sweep() {
    FAIL_IN=$1 FAIL_COUNT=calls LD_PRELOAD=$tools/fail_calls.so "$vmoec" build "$tiny" -o kept
    read -r calls <calls
    [ "$calls" -gt 10 ] || return 1
    k=1
    while [ $k -le "$calls" ]; do
        for how in error half short; do
            rm -rf kept "$TMPDIR"/*
            echo old >kept
            FAIL_HOW=$how FAIL_IN=$1 FAIL_AT=$k LD_PRELOAD=$tools/fail_calls.so "$vmoec" build "$tiny" -o kept 2>fail.err
            case $? in
            0) cmp peace kept || return 1 ;;
            1) echo old | cmp - kept && grep -Eq 'V0702.*(No space left|Input/output error)|V0802' fail.err || { cat fail.err; return 1; } ;;
            *) cat fail.err; return 1 ;;
            esac
        done
        k=$((k + 1 + calls / 4))
    done
}
if [ -n "$sanitized" ]; then
    skip "calls that fail" "the sanitizer wants to be loaded first"
else
    holds "calls that fail on the output" sweep "$(pwd -P)/.vmoec-"
    holds "on what is worked with" sweep "$TMPDIR/vmoec-"
    rm -rf "$TMPDIR"/* .vmoec-*
fi

# A disk that is full: of the output, of what is worked with, of the cache.
mkdir disk
if mount -t tmpfs -o size=300k none disk 2>/dev/null; then
    trap 'umount "$work/disk"; rm -rf "$work"' EXIT
    echo old >disk/program
    ends 1 'V0702.*disk/program: No space left' "a program on a full disk" "$vmoec" build "$tiny" -o disk/program
    holds "what was there is there, and nothing else" sh -c 'test "$(ls -A disk)" = program && echo old | cmp - disk/program'
    cat /dev/zero >disk/rest 2>/dev/null
    for form in spec llvm asm obj; do
        ends 1 'V0702.*disk/program: No space left' "--emit $form on a full disk" "$vmoec" build "$tiny" --emit $form -o disk/program
    done
    rm disk/rest
    holds "nothing else is there" sh -c 'test "$(ls -A disk)" = program && echo old | cmp - disk/program'
    rm disk/program
    fails 'V0702.*No space left' "a full disk to work on" env TMPDIR=$work/disk "$vmoec" build "$tiny"
    holds "it says what to do" grep -q 'set TMPDIR to a folder with room' err
    mount -o remount,size=1500k disk
    fails 'V0802' "one that fills while linking" env TMPDIR=$work/disk "$vmoec" build "$tiny"
    holds "it says so" grep -q 'the disk of .*disk/vmoec-[^ ]* has [0-9]* KiB left, a program may take [0-9]*: set TMPDIR' err
    holds "and accuses no library" sh -c '! grep packages err'
    mount -o remount,size=64k disk && mkdir -m 700 disk/cache
    rm -f kept
    holds "a cache on a full disk" env VMOE_CACHE=$work/disk/cache "$vmoec" build "$tiny" -o kept
    holds "fails no build" cmp peace kept
    holds "no part of an object is left" sh -c '! find disk/cache -name "*.o.*" | grep .'
else
    skip "a full disk" "needs the right to mount one"
fi

# Streams that are closed: what is said goes into no output.
closed() { "$vmoec" build "$tiny" -o kept <&- >&- 2>&-; }
rm -f kept
holds "streams that are closed" closed
holds "the program is the same" cmp peace kept

# A parent that wants to hear nothing of its children says so to ours.
rm -f kept
holds "SIGCHLD ignored" env --ignore-signal=CHLD "$vmoec" build "$tiny" -o kept
holds "SIGCHLD ignored: the program is the same" cmp peace kept
fails 'V0802.*false could not link kept .status 1' "SIGCHLD ignored: the linker's status is heard" \
    env --ignore-signal=CHLD CC=false "$vmoec" build "$tiny"

# What a linker lacks.
script lacks <<'END'
case " $* " in *" -ljansson "* | *" -lz "*) echo "the linker's own words" >&2; exit 1 ;; esac
exec cc "$@"
END
fails 'install them: libjansson-dev zlib1g-dev$' "two libraries are missing" env CC=./lacks "$vmoec" build "$tiny"
holds "the linker is heard" grep -q "^the linker's own words" err
holds "once" test "$(grep -c "the linker's own words" err)" = 1
script lacks <<'END'
case "${*#* -lc}" in *" -l"*) exit 1 ;; esac
exec cc "$@"
END
fails 'install them:' "all are" env CC=./lacks "$vmoec" build "$tiny" -v
wanted() { grep ' -Wl,--whole-archive ' err | tr ' ' '\n' | grep '^-l' | grep -v '^-l[cm]$\|^-l\(pthread\|dl\)$' | sort -u | wc -l; }
listed() { sed -n 's/.*install them://p' err | tr ' ' '\n' | grep -c -- '-dev$'; }
holds "each has its package" test "$(wanted)" -gt 5 -a "$(listed)" -ge "$(wanted)"
holds "which the table knows" sh -c '! grep "the one with" err'
script lacks <<'END'
exit 1
END
fails 'install them: gcc libc6-dev' "a compiler that links nothing" env CC=./lacks "$vmoec" build "$tiny"

finish
