#!/bin/sh
# Who may include whom: data flows one way. A line a rule: a folder, and the folders its files may include.
n=0
rule() {        # folder, allowed prefixes
    folder=$1
    shift
    n=$((n + 1))
    allowed=$(echo "$*" | tr ' ' '|')
    bad=$(cd "$top_srcdir" && grep -rnE '^#[ ]*include ["<][a-z]+/|^#[ ]*include <llvm-c' --include='*.[chly]' "$folder" |
        grep -E 'include ["<](lang|compiler|runtime|tests|llvm-c)/' | grep -vE "include [\"<]($allowed)")
    if [ -z "$bad" ]; then
        echo "ok $n - $folder"
    else
        echo "not ok $n - $folder includes what it must not"
        echo "$bad" | sed 's/^/# /'
    fi
}
rule lang/base lang/base/
rule lang lang/
rule compiler/graph compiler/graph/ compiler/ops/op.h lang/
rule compiler/ops compiler/ops/ compiler/graph/ compiler/plan/ lang/
rule compiler/plan compiler/plan/ compiler/graph/ compiler/ops/op.h lang/
rule compiler/emit compiler/emit/ compiler/plan/ compiler/graph/ lang/ compiler/files/ runtime/vrt.h runtime/abi.def runtime/processor.def llvm-c/
rule compiler/link compiler/link/ compiler/files/ lang/base/
rule compiler/files compiler/files/ lang/base/
rule runtime runtime/
rule runtime/base runtime/base/ runtime/vrt.h runtime/abi.def runtime/processor.def
rule runtime/data runtime/data/ runtime/base/
rule runtime/io runtime/io/ runtime/base/ runtime/vrt.h
rule runtime/report runtime/report/ runtime/base/ runtime/io/verdict.h

# What forgets a lack of memory is called where that is seen to, if anywhere: a call, and files.
only() {
    call=$1
    shift
    n=$((n + 1))
    bad=$(cd "$top_srcdir" && grep -rnE "\<$call\(" --include='*.[chly]' runtime compiler lang | grep -vE "^($(echo "$*" | tr ' ' '|')):")
    if [ -z "$bad" ]; then
        echo "ok $n - $call"
    else
        echo "not ok $n - $call is not for these"
        echo "$bad" | sed 's/^/# /'
    fi
}
only 'json_(dump|load)[a-z_]*' runtime/base/json.c compiler/info.c
only 'open_memstream'
only 'v?printf' 'compiler/[^:]*' 'lang/[^:]*' 'runtime/program/message.[ch]'
# Operations are known by name in their rooms alone.
names=$(sed -n 's/^OP(\(.*\))$/\1/p' "$top_srcdir/compiler/ops/ops.def" | paste -sd '|')
n=$((n + 1))
bad=$(cd "$top_srcdir" && grep -rnE "\<op_($names)\>" --include='*.[ch]' compiler | grep -v '^compiler/ops/')
if [ -n "$names" ] && [ -z "$bad" ]; then
    echo "ok $n - operations"
else
    echo "not ok $n - an operation is named outside its room"
    echo "$bad" | sed 's/^/# /'
fi
echo "1..$n"
