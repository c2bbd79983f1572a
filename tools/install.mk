# SPDX-License-Identifier: MIT
# make install, make uninstall: PREFIX is where holdfast will run from, DESTDIR is put before it.
MAN_PAGES := $(wildcard tools/man/*.[157])
SCHEMA    := policy/schema.json

man_target = $(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(1)))/$(notdir $(1))

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(BUILD)/holdfast $(DESTDIR)$(PREFIX)/bin/holdfast
	install -m 755 $(BUILD)/libholdfast.so $(DESTDIR)$(PREFIX)/lib/libholdfast.so
	install -m 755 $(BUILD)/libholdfast-policy.so $(DESTDIR)$(PREFIX)/lib/libholdfast-policy.so
	install -d $(DESTDIR)$(PREFIX)/share/holdfast/profiles
	install -m 644 $(PROFILES) $(DESTDIR)$(PREFIX)/share/holdfast/profiles/
	install -m 644 $(SCHEMA) $(DESTDIR)$(PREFIX)/share/holdfast/
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(call man_target,$(page)) &&) true

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/holdfast $(DESTDIR)$(PREFIX)/lib/libholdfast.so \
		$(DESTDIR)$(PREFIX)/lib/libholdfast-policy.so \
		$(foreach page,$(MAN_PAGES),$(call man_target,$(page)))
	rm -rf $(DESTDIR)$(PREFIX)/share/holdfast

.PHONY: install uninstall
