# SPDX-License-Identifier: MIT
# Tests, benches, checks, and what they need. Included by the Makefile.

# Which files `make test` runs; make test TESTS="tests/shim/x.sh build/tests/unit/test_y"
UNIT_SRC    := $(wildcard tests/unit/test_*.c)
UNIT_BIN    := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SRC))
SHIM_TEST   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/shim/*.c tests/surroundings/*.c tests/waits/*.c tests/faults/*.c))
FUZZ_SRC    := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_REPLAY := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SRC))
BENCH_BIN   := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(filter-out %/empty.c,$(wildcard tests/bench/*.c))) \
	$(BUILD)/bench/empty.so
SCRIPTS     := $(wildcard $(foreach d,policy tools shim surroundings conformance waits stress faults programs,tests/$(d)/*.sh))
TESTS       ?= $(UNIT_BIN) $(FUZZ_REPLAY) $(SCRIPTS)
FUZZ_SECONDS ?= 600

# What a unit test may call: all that is not the preload itself and not a main().
UNIT_OBJ := $(call objects,obj,$(READER_SRC) $(WRITER_SRC) $(POLICY_SRC) $(COMPILE_SRC)) \
	$(BUILD)/obj/profiles.o

$(BUILD)/tests/unit/%: tests/unit/%.c $(UNIT_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(UNIT_OBJ) -lcmocka -lcjson -lbsd -lm

# Programs of ours that run under the preload: plain programs, which know nothing of it.
$(BUILD)/tests/shim/%: tests/shim/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -pthread
$(BUILD)/tests/surroundings/%: tests/surroundings/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -pthread
$(BUILD)/tests/waits/%: tests/waits/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -pthread
$(BUILD)/tests/faults/%: tests/faults/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -pthread

# Those of several files.
CONFORM_BIN := $(BUILD)/tests/conformance/conform
RECORDER    := $(BUILD)/tests/waits/recorder
STRESS      := $(BUILD)/tests/stress/stress
LOOPS       := $(BUILD)/tests/stress/loops
CROWD       := $(BUILD)/tests/stress/crowd
STRESS_SRC  := $(addprefix tests/stress/,acts.c common.c servers.c stress.c)
LOOPS_SRC   := tests/stress/common.c $(wildcard tests/stress/loops*.c)
$(CONFORM_BIN): $(wildcard tests/conformance/*.[ch])
$(STRESS): $(STRESS_SRC) $(wildcard tests/stress/*.h)
$(LOOPS): $(LOOPS_SRC) $(wildcard tests/stress/*.h)
$(RECORDER): $(wildcard tests/waits/record/*.[ch])
$(CROWD): tests/stress/crowd.c tests/stress/common.c tests/stress/common.h
$(CONFORM_BIN) $(RECORDER) $(STRESS) $(LOOPS) $(CROWD):
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(filter-out -MMD -MP,$(CPPFLAGS)) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.c,$^) -pthread

# The engine in a program, for the sanitizers: a preload and they do not mix.
STRESS_BIN  := $(foreach program,$(STRESS) $(LOOPS),$(program) $(program)-asan $(program)-tsan) $(CROWD)
ENGINE_SRC  := $(filter-out shim/hooks/%,$(SHIM_SRC))
ENGINE_ASAN := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# It cannot follow fences, says gcc.
ENGINE_TSAN := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -Wno-unknown-warning-option -Wno-tsan
define engine_rules
$(BUILD)/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CC,$$@) $$(CC) $$(CPPFLAGS) -DSTRESS_ENGINE $$(ALL_CFLAGS) $(2) -c -o $$@ $$<
$(BUILD)/$(1)/profiles.o: $(BUILD)/profiles.c
	@mkdir -p $$(@D)
	$$(call say,CC,$$@) $$(CC) $$(CPPFLAGS) $$(ALL_CFLAGS) $(2) -c -o $$@ $$<
$(STRESS)-$(1): $(call objects,$(1),$(STRESS_SRC) $(ENGINE_SRC)) $(BUILD)/$(1)/profiles.o
$(LOOPS)-$(1): $(call objects,$(1),$(LOOPS_SRC) $(ENGINE_SRC)) $(BUILD)/$(1)/profiles.o
$(STRESS)-$(1) $(LOOPS)-$(1):
	@mkdir -p $$(@D)
	$$(call say,LD,$$@) $$(CC) $$(ALL_CFLAGS) $(2) -o $$@ $$^ -pthread
endef
$(eval $(call engine_rules,asan,$(ENGINE_ASAN)))
$(eval $(call engine_rules,tsan,$(ENGINE_TSAN)))

# But for the one that folds a store, which only the tool's code can.
$(BUILD)/tests/shim/fold: tests/shim/fold.c $(UNIT_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(UNIT_OBJ) -lcjson -lbsd -lm

# A fuzz target by itself needs clang; with replay.c it runs over the corpus only.
$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(UNIT_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) -DCORPUS='"$(abspath tests/fuzz/corpus)"' $(ALL_CFLAGS) $(LDFLAGS) \
		-o $@ $< tests/fuzz/replay.c $(UNIT_OBJ) -lcjson -lbsd -lm

$(BUILD)/bench/%.so: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(SO_CFLAGS) $(LDFLAGS) $(SO_LDFLAGS) -o $@ $<
$(BUILD)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $<

help:
	@echo 'make                builds the preload and the tool into $(BUILD)/'
	@echo 'make install        PREFIX=$(PREFIX), DESTDIR=$(DESTDIR)'
	@echo 'make demo           a client that is started before its server, under holdfast'
	@echo 'make test           all tests; TESTS="FILE..." for some'
	@echo 'make stress         the full form of the long tests'
	@echo 'make sanitize       the unit tests under the address and undefined behaviour sanitizers'
	@echo 'make fuzz           fuzzes the policy loader for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make bench          what holdfast costs, beside what it may cost; BENCH_QUICK=1'
	@echo 'make lint           clang-tidy, cppcheck, clang-format, shellcheck'
	@echo 'make format         lays out all C files as lint wants them'
	@echo 'make deps           installs what building and testing need'
	@echo 'make deps-programs  installs the real programs that tests/programs/ runs'
	@echo 'make clean'

deps:
	@BUILD=$(BUILD) tests/deps.sh build
deps-programs:
	@BUILD=$(BUILD) tests/deps.sh programs
deps-lint:
	@BUILD=$(BUILD) tests/deps.sh lint
deps-fuzz:
	@BUILD=$(BUILD) tests/deps.sh fuzz

# The libraries have to be there before anything is compiled, hence a second make.
test: deps
	@$(MAKE) --no-print-directory all test-programs
	@BUILD=$(BUILD) tests/run $(TESTS)

test-programs: $(UNIT_BIN) $(FUZZ_REPLAY) $(SHIM_TEST) $(CONFORM_BIN) $(RECORDER) $(STRESS_BIN)
unit-tests: $(UNIT_BIN)

stress: deps
	@$(MAKE) --no-print-directory all test-programs
	@BUILD=$(BUILD) tests/run --stress $(TESTS)

demo: deps
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tests/demo.sh

bench: deps
	@$(MAKE) --no-print-directory all bench-programs
	@BUILD=$(BUILD) tests/bench/run

bench-programs: $(BENCH_BIN) $(CROWD)

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
sanitize: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-san OPT="$(SANITIZE)" sanitize-run
sanitize-run: unit-tests $(FUZZ_REPLAY)
	@BUILD=$(BUILD) tests/run $(UNIT_BIN) $(FUZZ_REPLAY)

FUZZ_CFLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
fuzz: deps deps-fuzz
	@for target in $(notdir $(FUZZ_SRC:.c=)); do \
		$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)-fuzz OPT="$(FUZZ_CFLAGS)" \
			FUZZ_TARGET=$$target fuzz-run || exit 1; \
	done
fuzz-run: $(UNIT_OBJ)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fsanitize=fuzzer -o $(BUILD)/$(FUZZ_TARGET) \
		tests/fuzz/$(FUZZ_TARGET).c $(UNIT_OBJ) -lcjson -lbsd -lm
	@mkdir -p $(BUILD)/corpus-$(FUZZ_TARGET)
	$(BUILD)/$(FUZZ_TARGET) -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1 \
		-artifact_prefix=$(BUILD)/ $(addprefix -dict=,$(wildcard tests/fuzz/$(FUZZ_TARGET:fuzz_%=%).dict)) \
		$(BUILD)/corpus-$(FUZZ_TARGET) tests/fuzz/corpus

LINT_C  := $(wildcard $(foreach d,shim shim/hooks shim/engine shim/store policy policy/compile tools,$(d)/*.c))
FORMAT_C := $(LINT_C) $(wildcard $(foreach d,shim shim/hooks shim/engine shim/store policy policy/compile tools,$(d)/*.h) \
	$(foreach d,unit shim surroundings conformance waits waits/record stress fuzz faults bench programs,tests/$(d)/*.[ch]))
LINT_SH := $(wildcard .ci/run tests/*.sh tests/*/*.sh tests/*/*.bash)
# Exported, not passed in quotes: CPPFLAGS holds quotes itself.
lint: export LINT_CPPFLAGS = $(filter-out -MMD -MP,$(CPPFLAGS))
lint: export LINT_C_FILES = $(LINT_C)
lint: export LINT_FORMAT_FILES = $(FORMAT_C)
lint: export LINT_SH_FILES = $(LINT_SH)
lint: deps deps-lint
	@BUILD=$(BUILD) tests/lint.sh

format: deps-lint
	@clang-format -i $(FORMAT_C)

.PHONY: format help deps deps-programs deps-lint deps-fuzz test test-programs unit-tests stress demo bench \
	bench-programs sanitize sanitize-run fuzz fuzz-run lint
