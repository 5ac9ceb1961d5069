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

holds "with another learning rate" build --set train.optim.lr=0.123 -o other
names >names.3
holds "no kernel is made" cmp names.1 names.3
holds "for another machine" build --target x86-64-v2 -o narrow
names >names.4
holds "all kernels are" test "$(wc -l <names.4)" -gt $(($(wc -l <names.1) * 2 - 2))

for object in "$kept"/*.o; do : >"$object"; done
holds "with objects cut short" build -o whole
holds "the program is whole" cmp first whole
object=$(ls "$kept"/*.o | head -1)
rm "$object" && mkdir "$object"
holds "with an object that cannot be kept" build -o apart
holds "the program is whole, too" cmp first apart
rmdir "$object"
for object in "$kept"/*.o; do touch -d '40 days ago' "$object"; done
rm "$(ls "$kept"/*.o | head -1)" && unused=$kept/0123456789abcdef0123456789abcdef.o && touch -d '40 days ago' "$unused" "$unused.17"
touch -d '40 days ago' "$kept/notes.org" "$kept/main.o"
holds "objects are old" build -o late
holds "those that a build needs stay" sh -c 'test "$(ls "$0"/*.o | wc -l)" -ge "$1"' "$kept" 20
holds "others go" test ! -e "$unused" -a ! -e "$unused.17"
holds "what is not ours stays" test -e "$kept/notes.org" -a -e "$kept/main.o"

: >file
VMOE_CACHE=$work/file/none holds "a folder that cannot be made is no matter" "$vmoec" build "$here/tiny_tokens.vmoe" -o without
holds "the program is the same there" cmp first without
finish
