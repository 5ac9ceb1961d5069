# Damaged input. fuzz_spec and fuzz_files are run by hand with --seed and --count for longer hunts, coverage by run.sh.
fuzz_sources = %D%/fuzz/mutate.c %D%/fuzz/mutate.h %D%/fuzz/watch.c %D%/fuzz/watch.h
fuzz_readers = %D%/fuzz/readers.c %D%/fuzz/readers.h %D%/fuzz/seeds.c %D%/fuzz/seeds.h %D%/fuzz/mend.c %D%/fuzz/mend.h
fuzz_tests = %D%/fuzz/fuzz_spec %D%/fuzz/fuzz_files %D%/fuzz/bombs
check_PROGRAMS += $(fuzz_tests)
TESTS += $(fuzz_tests)

%C%_fuzz_fuzz_spec_SOURCES = %D%/fuzz/fuzz_spec.c $(fuzz_sources)
%C%_fuzz_fuzz_spec_CPPFLAGS = $(AM_CPPFLAGS)
%C%_fuzz_fuzz_spec_LDADD = $(compiler_libs)

%C%_fuzz_fuzz_files_SOURCES = %D%/fuzz/fuzz_files.c $(fuzz_readers) $(fuzz_sources)
%C%_fuzz_fuzz_files_CPPFLAGS = $(unit_cppflags)
%C%_fuzz_fuzz_files_CFLAGS = $(unit_cflags)
%C%_fuzz_fuzz_files_LDADD = $(runtime_libs)

%C%_fuzz_bombs_SOURCES = %D%/fuzz/bombs.c
%C%_fuzz_bombs_CPPFLAGS = $(unit_cppflags)
%C%_fuzz_bombs_CFLAGS = $(unit_cflags)
%C%_fuzz_bombs_LDADD = $(runtime_libs)

# Led by coverage: one program, with all that it fuzzes built anew by clang; see the head of coverage.c.
FUZZ_CC = clang
fuzz_coverage = %D%/fuzz/coverage.c %D%/fuzz/readers.c %D%/fuzz/seeds.c %D%/fuzz/mend.c %D%/fuzz/mutate.c \
	$(filter runtime/base/%.c runtime/data/%.c runtime/io/%.c,$(runtime_libvrt_a_SOURCES))
EXTRA_DIST += %D%/fuzz/coverage.c %D%/fuzz/run.sh
CLEANFILES += %D%/fuzz/coverage

fuzz: %D%/fuzz/coverage
%D%/fuzz/coverage: $(fuzz_coverage)
	$(AM_V_CCLD)$(FUZZ_CC) -o $@ -O1 -g -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$(DEFS) $(unit_cppflags) $(fuzz_coverage:%=$(srcdir)/%) $(runtime_LIBS)
.PHONY: fuzz
