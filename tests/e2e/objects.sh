#!/bin/sh
# Objects of kernels are kept: a program whose shapes were seen before is built from them, bit for bit the same.
. "$top_srcdir/tests/e2e/common.sh"
kept=$work/kept
build() { VMOE_CACHE=$kept "$vmoec" build "$here/tiny_tokens.vmoe" "$@"; }
names() { (cd "$kept" && find . -type f | sort); }

holds "a program is built" build -o first
names >names.1
holds "its kernels are kept" test "$(wc -l <names.1)" -gt 20
holds "no object stays beside the program" sh -c '! ls ./*.o'
holds "it is built again" build -o first.again
names >names.2
holds "nothing is made anew" cmp names.1 names.2
holds "the program is the same" cmp first first.again
VMOE_CACHE='' "$vmoec" build "$here/tiny_tokens.vmoe" -o alone 2>log
holds "and the same where nothing is kept" cmp first alone

# Its main thread makes all allocations: there is no other.
alone_on() { COUNT_MALLOC=counts VMOE_CACHE='' LD_PRELOAD=$tools/count_malloc.so taskset -c "$1" "$vmoec" build "$here/tiny_tokens.vmoe" -o alone; }
if [ -n "$sanitized" ]; then
    skip "one processor" "the sanitizer wants to be loaded first"
else
    holds "one processor" alone_on "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')"
    holds "has one thread" awk '{ exit $1 != $2 }' counts
fi

holds "with another learning rate" build --set train.optim.lr=0.123 -o other
names >names.3
holds "no kernel is made" cmp names.1 names.3
holds "for another machine" build --target x86-64-v2 -o narrow
names >names.4
holds "all kernels are" test "$(wc -l <names.4)" -gt $(($(wc -l <names.1) * 2 - 2))


# What is wrong with an object is seen, whatever it is, and the object made again.
kept=$work/once
holds "in another folder" build -o first
cp -a "$kept" right
twice=$(ls "$kept"/*.o | head -1)
emptied() { : >"$1"; }
cut_short() { truncate -s $(($(stat -c %s "$1") * 2 / 3)) "$1"; }
cut_last() { truncate -s -1 "$1"; }
lengthened() { echo >>"$1"; }
zeroed() { size=$(stat -c %s "$1") && : >"$1" && truncate -s "$size" "$1"; }
flipped() {
    at=$(($(stat -c %s "$1") / 2)) && byte=$(od -An -tu1 -j $at -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\$(printf %o $((byte ^ 16)))" | dd of="$1" bs=1 seek=$at conv=notrunc 2>/dev/null
}
another() { [ "$1" = "$twice" ] || cp "$twice" "$1"; }
a_link() { mv "$1" elsewhere && ln -s "$PWD/elsewhere" "$1"; }
a_fifo() { rm "$1" && mkfifo "$1"; }
writable() { chmod g+w "$1"; }
kinds="emptied cut_short cut_last lengthened zeroed flipped another a_link a_fifo writable"
damage_all() {
    for object in "$kept"/*.o; do
        # shellcheck disable=SC2086
        [ $# -gt 0 ] || set -- $kinds
        $1 "$object"
        shift
    done
}
damage_all
holds "objects are damaged, each in another way" build -o whole
holds "the program is whole" cmp first whole
holds "the objects are right again" diff -r --no-dereference right "$kept"
holds "and nobody else's" sh -c '! find "$0" -name "*.o" ! -perm 600 | grep .' "$kept"

# Several builds at once, while objects are damaged.
damage_on() {
    while [ ! -e enough ]; do
        for object in "$kept"/*.o; do cut_short "$object"; done
    done 2>/dev/null
}
all_at_once() {
    damage_on &
    damager=$! status=0
    for i in 1 2 3; do build -o "many.$i" & eval "build$i=$!"; done
    for i in 1 2 3; do eval "wait \$build$i" && cmp first "many.$i" || status=1; done
    : >enough
    wait $damager
    return $status
}
holds "three builds at once, in a folder that is being damaged" all_at_once
holds "the next one mends it" build -o whole
holds "the program is whole" cmp first whole
holds "no object is left half written" sh -c '! ls "$0" | grep "o[.]"' "$kept"

object=$(ls "$kept"/*.o | head -1)
rm "$object" && mkdir "$object"
holds "with an object that cannot be kept" build -o apart
holds "the program is whole, too" cmp first apart
rmdir "$object"
for object in "$kept"/*.o; do touch -d '40 days ago' "$object"; done
rm "$(ls "$kept"/*.o | head -1)" && unused=$kept/0123456789abcdef0123456789abcdef.o
touch -d '40 days ago' "$unused" "$unused.17" && touch -d '2 days ago' "$unused.18" && touch "$unused.19"
touch -d '40 days ago' "$kept/notes.org" "$kept/main.o"
holds "objects are old" build -o late
holds "those that a build needs stay" sh -c 'test "$(ls "$0"/*.o | wc -l)" -ge "$1"' "$kept" 20
holds "others go" test ! -e "$unused" -a ! -e "$unused.17"
holds "so does what a build that was killed was writing, but not what one may write now" test ! -e "$unused.18" -a -e "$unused.19"
holds "what is not ours stays" test -e "$kept/notes.org" -a -e "$kept/main.o"

: >file
VMOE_CACHE=$work/file/none holds "a folder that cannot be made is no matter" "$vmoec" build "$here/tiny_tokens.vmoe" -o without
holds "the program is the same there" cmp first without

# The folder is the user's alone.
umask 002
rm -rf home && mkdir home
in_home() { env -u VMOE_CACHE -u XDG_CACHE_HOME HOME="$work/home" "$vmoec" build "$here/tiny_tokens.vmoe" "$@"; }
holds "in a new home" in_home -o whole
holds "folders are made that only their owner may enter" test "$(stat -c '%a' home/.cache)" = 700 -a "$(stat -c '%a' home/.cache/vmoe)" = 700
holds "as are the objects" sh -c '! find home/.cache/vmoe -type f ! -perm 600 | grep .'
shared() {      # NAME, PATTERN
    rm -f shared/*
    ends 0 "V0704.*$2" "$1" env VMOE_CACHE="$work/shared" "$vmoec" build "$here/tiny_tokens.vmoe" -o whole
    holds "$1: it says what to do" grep -q 'name another folder with VMOE_CACHE=DIR' err
    holds "$1: nothing is kept there" sh -c '! ls shared | grep .'
    holds "$1: the program is the same" cmp first whole
}
mkdir shared
chmod 775 shared && shared "a folder that the group may write to" 'others may write to it'
chmod 707 shared && shared "one that all may write to" 'others may write to it'
chmod 755 shared
if chown 12345 shared 2>/dev/null; then
    shared "one of another user" 'it belongs to another user'
else
    skip "a folder of another user" "needs the right to give one away"
fi
rm -r shared && mkdir -m 755 shared
holds "one that others may read" env VMOE_CACHE="$work/shared" "$vmoec" build "$here/tiny_tokens.vmoe" -o whole
holds "is used" test "$(ls shared | wc -l)" -gt 20
finish
