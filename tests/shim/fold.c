/* SPDX-License-Identifier: MIT */
/* fold STATE-DIR: folds every process that is gone into the totals, as age would, now. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "shim/store/directory.h"
#include "shim/store/fold.h"

#define TRIES 5000

int main(int argc, char **argv)
{
	const char *problem = "";
	int directory, folded = 0, n = 0;

	if (argc != 2)
		return 64;
	directory = directory_open(argv[1], false, &problem);
	if (directory < 0) {
		fprintf(stderr, "fold: %s: %s\n", argv[1], problem);
		return 1;
	}
	/* Readers keep folding off for the moment that they take. */
	for (int i = 0; i < TRIES; i++) {
		n = store_fold(directory, 0, UINT64_MAX);
		if (n == 0 || (n < 0 && errno != EWOULDBLOCK))
			break;
		if (n > 0)
			folded += n;
		else
			usleep(1000);
	}
	if (n < 0)
		perror("fold");
	printf("%d\n", folded);
	return n < 0;
}
