// Unpack the browser of `@sparticuz/chromium` into the folder given. Node's standard output says where the binary is.

import fs from "node:fs";
import path from "node:path";
import process from "node:process";

const folder = path.resolve(process.argv[2]);
fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });
// The package unpacks into the folder for temporary files, and its libraries where it takes itself to be on a bare
// machine: those that the browser needs and a server may lack (NSS, NSPR, expat) come with it then.
process.env.TMPDIR = folder;
process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs24.x";
const { default: chromium } = await import("@sparticuz/chromium");
console.log(await chromium.executablePath());
