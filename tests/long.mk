# By hand, each for minutes: make long, or make long MINUTES=3.
long_tests = %D%/long/builds.sh
EXTRA_DIST += $(long_tests)

long: all
	@$(AM_TESTS_ENVIRONMENT) for t in $(long_tests); do $(SHELL) "$$top_srcdir/$$t" $(MINUTES) || exit 1; done
.PHONY: long
