# The check of gradients, checked: wrong gradients of a program written by hand, derivatives that are known, and random networks
# (every 12th; long/gradchecks.sh takes all).
check_PROGRAMS += %D%/unit/test_gradcheck %D%/unit/test_derivative %D%/long/gradchecks
TESTS += %D%/unit/test_gradcheck %D%/unit/test_derivative %D%/long/gradchecks

%C%_unit_test_gradcheck_SOURCES = %D%/unit/test_gradcheck.c %D%/unit/stub_program.c
%C%_unit_test_gradcheck_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_gradcheck_CFLAGS = $(unit_cflags)
%C%_unit_test_gradcheck_LDADD = $(runtime_libs)

%C%_unit_test_derivative_SOURCES = %D%/unit/test_derivative.c
%C%_unit_test_derivative_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_derivative_CFLAGS = $(unit_cflags)
%C%_unit_test_derivative_LDADD = $(runtime_libs)

%C%_long_gradchecks_SOURCES = %D%/long/gradchecks.c %D%/long/random_network.c %D%/long/random_network.h \
	%D%/unit/fixture_folder.c %D%/unit/fixture.h
%C%_long_gradchecks_CPPFLAGS = $(unit_cppflags)
%C%_long_gradchecks_CFLAGS = $(unit_cflags)
%C%_long_gradchecks_LDFLAGS = $(AM_LDFLAGS) -rdynamic
%C%_long_gradchecks_LDADD = $(compiler_libs) $(runtime_libs)
EXTRA_DIST += %D%/long/gradchecks.sh
