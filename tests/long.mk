# By hand, each for minutes: make long, or one of them by make long LONG=builds MINUTES=3.
long_tests = \
	%D%/long/allocations.sh \
	%D%/long/builds.sh \
	%D%/long/faults.sh
EXTRA_DIST += $(long_tests)

long: all $(check_PROGRAMS)
	@$(AM_TESTS_ENVIRONMENT) for t in $(long_tests); do case $$t in *$(LONG)*) $(SHELL) "$$top_srcdir/$$t" $(MINUTES) || exit 1 ;; esac; done
.PHONY: long
