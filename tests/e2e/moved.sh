#!/bin/sh
# The compiler finds its own parts: installed, also where DESTDIR= put it or when it was moved; in a checkout that was copied.
. "$top_srcdir/tests/e2e/common.sh"
cat >uses.vmoe <<'END'
vmoe 1
use std.layers
block none { layers.mlp }
END
tiny=$here/tiny_tokens.vmoe
place=$(pwd -P)

make -C "$top_builddir" DESTDIR="$place/destination" install >install.log 2>&1
installed=$(find "$place/destination" -name vmoec -path '*/bin/*')
holds "it is installed" test -x "$installed"
ends 0 "$place/destination.*/libvrt.a" "where it was put, it builds" "$installed" build "$tiny" -o program -v
mv "$(dirname "$(dirname "$installed")")" moved
ends 0 "$place/moved/lib[^ ]*/libvrt.a" "moved, it builds with what lies beside it" moved/bin/vmoec build "$tiny" -o program -v
rm moved/share/vmoe/stdlib/layers.vmoe
ends 1 "looked for it in $place/moved/share/vmoe/stdlib" "and reads no other library" moved/bin/vmoec check uses.vmoe
ln -s moved/bin/vmoec link
ends 0 "$place/moved/lib[^ ]*/libvrt.a" "by a link, too" ./link build "$tiny" -o program -v

source=$(cd "$top_srcdir" && pwd -P) build=$(cd "$top_builddir" && pwd -P)
mkdir -p "copy$build/runtime" "copy$source"
cp "$build/vmoec" "copy$build/" && cp "$build/runtime/libvrt.a" "copy$build/runtime/" && cp -r "$source/stdlib" "copy$source/"
ends 0 "$place/copy$build/runtime/libvrt.a" "a copied checkout builds with its own runtime" "copy$build/vmoec" build "$tiny" -o program -v
echo broken >"copy$source/stdlib/layers.vmoe"
ends 1 "copy$source/stdlib/layers.vmoe" "it reads its own library" "copy$build/vmoec" check uses.vmoe
rm "copy$source/stdlib/layers.vmoe"
ends 1 "looked for it in $place/copy$source/stdlib" "and no other one" "copy$build/vmoec" check uses.vmoe
finish
