#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# A disk that is full, fills up, may not be written or goes away costs the statistics at most.
. "$(dirname "$0")/common.bash"
can_mount || skip_all "mounting is not allowed here"

DISK=$TMPDIR/disk
mkdir "$DISK"
export DISK
export HOLDFAST_STATE_DIR=$DISK/state

# on_disk MOUNT-COMMANDS COMMAND...: in a mount namespace where these made $DISK.
on_disk() {
	DISK_COMMANDS=$1
	export DISK_COMMANDS
	printf '%s\0' unshare -m --propagation private bash -c \
		'eval "$DISK_COMMANDS" >&2 || exit 99; exec "$@"' --
}
# disk NAME LINE MOUNT-COMMANDS WORD...: held, whatever the disk is.
disk() {
	local name=$1 line=$2 command
	mapfile -d '' -t command < <(on_disk "$3")
	export DISK_COMMANDS=$3
	shift 3
	around "$name" held "$line" "${command[@]}" "$CLIENT" "$@"
}

# The loader of preloads and the client lie elsewhere, so only the state is on it.
tmpfs() {
	echo "mount -t tmpfs -o size=$1,mode=755 none $DISK"
}
fill='dd if=/dev/zero of=$DISK/filler bs=4k 2>/dev/null; :'

disk "a full disk, the state directory not made yet" "?" "$(tmpfs 64k); $fill" connect
disk "a full disk, the state directory there" \
	"nothing is stored, the policy applies: .*$DISK/state" \
	"$(tmpfs 64k); mkdir -m 700 $DISK/state; $fill" connect
disk "a disk with room for less than one file" "nothing is stored, .*: No space left on device" \
	"$(tmpfs 16k); mkdir -m 700 $DISK/state" connect
disk "a disk without a free inode" "nothing is stored, .*no space left" \
	"mount -t tmpfs -o nr_inodes=1,mode=755 none $DISK" connect
disk "a disk with room for one file and no events" "" "$(tmpfs 200k)" connect connect

truncate -s 4M "$TMPDIR/image"
if mkfs.ext4 -q -F -O ^has_journal -m 0 "$TMPDIR/image" 2>/dev/null && have losetup &&
	unshare -m --propagation private mount -o loop "$TMPDIR/image" "$DISK" 2>/dev/null; then
	loop="cp $TMPDIR/image $TMPDIR/copy; mount -o loop $TMPDIR/copy $DISK"
	disk "a full ext4" "nothing is stored, .*o space left" \
		"$loop; mkdir -m 700 $DISK/state; $fill" connect
	disk "an ext4 that is read-only" "nothing is stored, .*ead-only file system" \
		"$loop; mount -o remount,ro $DISK" connect
else
	skip "a full ext4" "no loop device can be mounted here"
	skip "an ext4 that is read-only" "no loop device can be mounted here"
fi

disk "a read-only file system, the state directory not there" \
	"nothing is stored, .*read-only file system" \
	"$(tmpfs 1m); mount -o remount,ro $DISK" connect
disk "a read-only file system, the state directory there" \
	"nothing is stored, .*: .*ead-only file system" \
	"$(tmpfs 1m); mkdir -m 700 $DISK/state; mount -o remount,ro $DISK" connect
disk "a read-only file system, with all that a former process left" "nothing is stored, " \
	"$(tmpfs 20m); env LD_PRELOAD=$LIBRARY HOLDFAST_NETWORK_MAX_RETRIES=1 PORT=1 \
		$CLIENT connect >/dev/null; mount -o remount,ro $DISK" connect

# ---- while it runs -----------------------------------------------------------------

# meanwhile NAME COMMANDS SIZE WORD...: the client pauses, something happens to the disk, and
# the client goes on. Nobody else is in its namespace, so a helper inside does it.
meanwhile() {
	local name=$1 happens=$2 size=$3
	shift 3
	PREPARE="rm -f $TMPDIR/go $TMPDIR/go.ready"
	disk "$name" "" "$(tmpfs "$size"); ( until [ -e $TMPDIR/go.ready ]; do sleep 0.02; done
		$happens; : >$TMPDIR/go ) </dev/null >/dev/null 2>&1 &" connect "pause=$TMPDIR/go" "$@"
	PREPARE=:
}
meanwhile "it fills up: 90 more destinations" "$fill" 1m hosts=90 connect
meanwhile "it fills up: 300 more connections at once" "$fill" 1m open=300 connect
meanwhile "it fills up: a forked child" "$fill" 1m fork hosts=3 connect
meanwhile "it becomes read-only" "mount -o remount,ro $DISK" 1m open=300 connect
meanwhile "the state directory is removed" "rm -r $DISK/state" 20m open=300 connect
meanwhile "the state directory is replaced by a file" \
	"rm -r $DISK/state; : >$DISK/state" 20m open=300 fork connect
meanwhile "the disk is unmounted" "umount -l $DISK" 20m open=300 connect
done_testing
