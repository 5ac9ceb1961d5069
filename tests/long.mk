# By hand, each for minutes: make long, or one of them by make long LONG=builds MINUTES=3.
long_tests = \
	%D%/long/allocations.sh \
	%D%/long/builds.sh \
	%D%/long/faults.sh \
	%D%/long/gradchecks.sh
EXTRA_DIST += $(long_tests)

long: all $(check_PROGRAMS)
	@$(AM_TESTS_ENVIRONMENT) status=0; for t in $(long_tests); do case $$t in *$(LONG)*) \
		TAP_STATUS=1 $(SHELL) "$$top_srcdir/$$t" $(MINUTES) || status=1 ;; esac; done; exit $$status
.PHONY: long
