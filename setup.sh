#!/bin/sh
# Install the Debian 12 packages that building vmoe, its quickstart and its tests need. As root, or with sudo.
set -eu

packages="gcc clang make autoconf automake pkg-config flex bison llvm-19-dev libopenblas-openmp-dev libjpeg62-turbo-dev
libpng-dev zlib1g-dev libjansson-dev libarchive-dev librandom123-dev libxxhash-dev libcmocka-dev dataset-fashion-mnist
clang-format-19 git qemu-user-static"

missing=
for p in $packages; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "setup.sh: run as root, or install sudo; missing:$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "setup.sh: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
