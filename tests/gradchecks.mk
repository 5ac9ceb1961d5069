# The check of gradients, checked: wrong gradients of a program written by hand, and derivatives that are known.
check_PROGRAMS += %D%/unit/test_gradcheck %D%/unit/test_derivative
TESTS += %D%/unit/test_gradcheck %D%/unit/test_derivative

%C%_unit_test_gradcheck_SOURCES = %D%/unit/test_gradcheck.c %D%/unit/stub_program.c
%C%_unit_test_gradcheck_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_gradcheck_CFLAGS = $(unit_cflags)
%C%_unit_test_gradcheck_LDADD = $(runtime_libs)

%C%_unit_test_derivative_SOURCES = %D%/unit/test_derivative.c
%C%_unit_test_derivative_CPPFLAGS = $(unit_cppflags)
%C%_unit_test_derivative_CFLAGS = $(unit_cflags)
%C%_unit_test_derivative_LDADD = $(runtime_libs)
