# The language: text to resolved spec.
noinst_LIBRARIES += %D%/liblang.a
%C%_liblang_a_CPPFLAGS = $(AM_CPPFLAGS) $(XXHASH_CFLAGS)
%C%_liblang_a_SOURCES = \
	%D%/base/arena.c %D%/base/arena.h \
	%D%/base/text.c %D%/base/text.h \
	%D%/base/source.c %D%/base/source.h \
	%D%/base/diag.c %D%/base/diag.h %D%/base/diag.def \
	%D%/lang.h \
	%D%/spec.h \
	%D%/limits.h \
	%D%/ast.c %D%/ast.h \
	%D%/front.h \
	%D%/scan.l \
	%D%/parse.y \
	%D%/print_ast.c \
	%D%/unit.c %D%/unit.h \
	%D%/keys.c %D%/keys.h %D%/keys.def \
	%D%/resolve.c %D%/resolve.h \
	%D%/module.c \
	%D%/node.c \
	%D%/value.c \
	%D%/eval.c \
	%D%/call.c \
	%D%/place.c \
	%D%/expand.c \
	%D%/moe.c \
	%D%/model.c \
	%D%/experiment.c \
	%D%/fit.c \
	%D%/check.c \
	%D%/spec.c \
	%D%/print_spec.c
BUILT_SOURCES += %D%/parse.h %D%/key_names.def
CLEANFILES += %D%/key_names.def
%D%/key_names.def: $(srcdir)/%D%/keys.def $(srcdir)/%D%/key_names.awk
	$(AM_V_GEN)$(MKDIR_P) %D% && $(AWK) -f $(srcdir)/%D%/key_names.awk $(srcdir)/%D%/keys.def >$@.tmp && mv $@.tmp $@
EXTRA_DIST += %D%/README.md %D%/key_names.awk
