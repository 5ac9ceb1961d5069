# keys.def -> key_names.h: a name for each key of an experiment, so that code that asks for one that does not exist is not compiled.
BEGIN { FS = "\"" }
/^(KEY|VALUE)\(/ && ($2 ~ /^(data|train|memory|augment)(\.|$)/) {
    split($4, word, ":")
    path = $2 "." word[1]
    name = path
    gsub(/\./, "_", name)
    rows = rows "KEY_NAME(" name ", \"" path "\")\n"
}
END { printf "/* Made from keys.def by key_names.awk: KEY_NAME(name, path). */\n%s", rows }
