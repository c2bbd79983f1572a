// SPDX-License-Identifier: MIT
// What http_client.py does, with node's own pool of one keep-alive connection.
//
//     node http_client.js PORT COUNT
'use strict';
const http = require('http');

const [port, count] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const counts = { requests: 0, right: 0, wrong: 0, failures: 0 };
const reasons = {};

function ask(number) {
	if (number > count)
		return finish();
	let told = false;
	const tell = (what) => {
		// An error may be told of the request and of the answer.
		if (told)
			return;
		told = true;
		counts.requests++;
		counts[what]++;
		ask(number + 1);
	};
	const failed = (error) => {
		if (!told)
			reasons[error.code] = (reasons[error.code] || 0) + 1;
		tell('failures');
	};
	http.get({ agent, host: '127.0.0.1', port, path: `/${number}` }, (answer) => {
		let body = '';
		answer.on('data', (data) => { body += data; });
		answer.on('end', () => tell(body === String(number) ? 'right' : 'wrong'));
		answer.on('error', failed);
	}).on('error', failed);
}

function finish() {
	agent.destroy();
	for (const [word, number] of Object.entries({ ...counts, ...reasons }))
		console.log(word, number);
}

ask(1);
