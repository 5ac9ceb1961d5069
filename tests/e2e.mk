# End to end: whole programs, built, trained and run on generated data and, where it is there, on real pictures.
e2e_tests = \
	%D%/e2e/resume.sh \
	%D%/e2e/recipes.sh \
	%D%/e2e/memory.sh \
	%D%/e2e/recompute.sh \
	%D%/e2e/bad_pictures.sh \
	%D%/e2e/bad_files.sh \
	%D%/e2e/guards.sh \
	%D%/e2e/faults.sh \
	%D%/e2e/writes.sh \
	%D%/e2e/allocations.sh \
	%D%/e2e/emit.sh \
	%D%/e2e/outputs.sh \
	%D%/e2e/build_outputs.sh \
	%D%/e2e/moved.sh \
	%D%/e2e/objects.sh \
	%D%/e2e/weights.sh \
	%D%/e2e/experts.sh \
	%D%/e2e/examples.sh \
	%D%/e2e/paper.sh \
	%D%/e2e/pictures.sh \
	%D%/e2e/layouts.sh \
	%D%/e2e/check_data.sh \
	%D%/e2e/odd_data.sh \
	%D%/e2e/evaluate.sh \
	%D%/e2e/evalsets.sh \
	%D%/e2e/classes.sh \
	%D%/e2e/analysis.sh \
	%D%/e2e/real_pictures.sh \
	%D%/e2e/races.sh \
	%D%/e2e/names.sh \
	%D%/e2e/ranges.sh \
	%D%/e2e/begin.sh \
	%D%/e2e/surroundings.sh \
	%D%/e2e/claims.sh \
	%D%/e2e/by_status.sh
TESTS += $(e2e_tests)
EXTRA_DIST += $(e2e_tests) %D%/e2e/common.sh %D%/e2e/tiny_maps.vmoe %D%/e2e/tiny_tokens.vmoe %D%/e2e/recipes.vmoe \
	%D%/e2e/twin_maps.vmoe %D%/e2e/twin_tokens.vmoe

check_PROGRAMS += %D%/e2e/make_data %D%/e2e/peak %D%/e2e/count_malloc.so %D%/e2e/fail_calls.so
check_PROGRAMS += %D%/e2e/odd_calls.so %D%/e2e/fail_memory.so

%C%_e2e_make_data_SOURCES = %D%/e2e/make_data.c
%C%_e2e_make_data_CFLAGS = $(AM_CFLAGS) $(JPEG_CFLAGS) $(PNG_CFLAGS)
%C%_e2e_make_data_LDADD = $(JPEG_LIBS) $(PNG_LIBS) -lm

%C%_e2e_peak_SOURCES = %D%/e2e/peak.c

%C%_e2e_count_malloc_so_SOURCES = %D%/e2e/count_malloc.c
%C%_e2e_count_malloc_so_CFLAGS = $(AM_CFLAGS) -fPIC
%C%_e2e_count_malloc_so_LDFLAGS = $(AM_LDFLAGS) -shared

# Preloaded by faults.sh, guards.sh, allocations.sh, build_outputs.sh and writes.sh.
%C%_e2e_fail_calls_so_SOURCES = %D%/e2e/fail_calls.c
%C%_e2e_fail_calls_so_CFLAGS = $(AM_CFLAGS) $(BLAS_CFLAGS) -fPIC
%C%_e2e_fail_calls_so_LDFLAGS = $(AM_LDFLAGS) -shared
%C%_e2e_fail_calls_so_LDADD = -ldl

# Preloaded by surroundings.sh and claims.sh.
%C%_e2e_odd_calls_so_SOURCES = %D%/e2e/odd_calls.c
%C%_e2e_odd_calls_so_CFLAGS = $(AM_CFLAGS) -fPIC
%C%_e2e_odd_calls_so_LDFLAGS = $(AM_LDFLAGS) -shared
%C%_e2e_odd_calls_so_LDADD = -ldl
# Preloaded by allocations.sh.
%C%_e2e_fail_memory_so_SOURCES = %D%/e2e/fail_memory.c
%C%_e2e_fail_memory_so_CFLAGS = $(AM_CFLAGS) -fPIC
%C%_e2e_fail_memory_so_LDFLAGS = $(AM_LDFLAGS) -shared

# Programs that common.sh keeps.
CLEANFILES += %D%/e2e/programs/*
