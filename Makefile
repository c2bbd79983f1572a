# SPDX-License-Identifier: MIT
# make            builds build/libholdfast.so, build/libholdfast-policy.so, build/holdfast
# make help       lists the other targets
CC       ?= gcc
PREFIX   ?= /usr/local
DESTDIR  ?=
BUILD    ?= build
OPT      ?= -O2 -g
V        ?= 0
VERSION  := 0.1.0

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-align -Wwrite-strings -Wundef \
	-Wvla -Wswitch-default -Wswitch-enum -Wformat=2 -Wimplicit-fallthrough -Wno-unused-parameter
CPPFLAGS += -D_GNU_SOURCE -DHOLDFAST_VERSION='"$(VERSION)"' -I. -MMD -MP
ALL_CFLAGS := -std=gnu11 $(OPT) $(WARNINGS) $(CFLAGS)
# The preloaded objects: nothing is exported but the hooks. Every process loads them, most
# for nothing, so libc's names are bound when they are first called and the file is mapped in
# two parts instead of four: together 2 % of a fork and exec.
SO_CFLAGS  := -fPIC -fvisibility=hidden
SO_LDFLAGS := -shared -Wl,-z,relro,-z,lazy,-z,noexecstack,-z,defs,-z,noseparate-code -Wl,--hash-style=gnu \
	-Wl,-O1 -Wl,--as-needed

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2);)

POLICY_SRC  := $(wildcard policy/*.c)
COMPILE_SRC := $(filter-out policy/compile/embed.c,$(wildcard policy/compile/*.c))
# What only the tool reads with; the rest of shim/store/ is in both.
READER_SRC  := $(wildcard shim/store/reader*.c)
WRITER_SRC  := $(filter-out $(READER_SRC),$(wildcard shim/store/*.c))
SHIM_SRC    := $(wildcard shim/*.c shim/hooks/*.c shim/engine/*.c) $(WRITER_SRC) $(POLICY_SRC)
TOOL_SRC    := $(wildcard tools/*.c) shim/engine/policy_cache.c $(READER_SRC) $(WRITER_SRC) $(POLICY_SRC) $(COMPILE_SRC)
PROFILES    := $(wildcard policy/profiles/*.json)

objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))
SHIM_OBJ  := $(call objects,pic,$(SHIM_SRC)) $(BUILD)/pic/profiles.o
PARSE_OBJ := $(call objects,pic,$(POLICY_SRC) $(COMPILE_SRC)) $(BUILD)/pic/profiles.o
TOOL_OBJ  := $(call objects,obj,$(TOOL_SRC)) $(BUILD)/obj/profiles.o
EMBED_OBJ := $(call objects,obj,policy/compile/embed.c $(COMPILE_SRC) $(POLICY_SRC))

all: $(BUILD)/libholdfast.so $(BUILD)/libholdfast-policy.so $(BUILD)/holdfast

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fPIE -c -o $@ $<

$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(SO_CFLAGS) -c -o $@ $<

$(BUILD)/obj/profiles.o $(BUILD)/pic/profiles.o: $(BUILD)/profiles.c
$(BUILD)/obj/profiles.o:
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fPIE -c -o $@ $<
$(BUILD)/pic/profiles.o:
	$(call say,CC,$@) $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(SO_CFLAGS) -c -o $@ $<

# The shipped profiles, compiled by the compiler that also reads users' files.
$(BUILD)/profile-embed: $(EMBED_OBJ)
	$(call say,LD,$@) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcjson
$(BUILD)/profiles.c: $(BUILD)/profile-embed $(PROFILES)
	$(call say,GEN,$@) $(BUILD)/profile-embed policy/profiles > $@.tmp && mv $@.tmp $@

# The export list is made from the hooks themselves, so that the two cannot drift.
$(BUILD)/libholdfast.so: $(SHIM_OBJ)
	$(call say,LD,$@) $(CC) $(ALL_CFLAGS) $(LDFLAGS) $(SO_LDFLAGS) -Wl,-soname,libholdfast.so -o $@ $^

$(BUILD)/libholdfast-policy.so: $(PARSE_OBJ)
	$(call say,LD,$@) $(CC) $(ALL_CFLAGS) $(LDFLAGS) $(SO_LDFLAGS) -Wl,-soname,libholdfast-policy.so -o $@ $^ -lcjson

$(BUILD)/holdfast: $(TOOL_OBJ)
	$(call say,LD,$@) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -pie -o $@ $^ -lcjson -lbsd -lsmartcols

clean:
	rm -rf $(BUILD)

include tools/install.mk $(wildcard tests/tests.mk)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all clean
.DELETE_ON_ERROR:
