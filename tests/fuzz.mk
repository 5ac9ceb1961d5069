# Damaged input. The two programs are run by hand with --seed and --count for longer hunts.
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
