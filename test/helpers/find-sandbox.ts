import { findSandbox } from "../../src/process/walls/sandbox.ts";

// Says which sandbox a program gets here.
const { kind, summary } = await findSandbox(process.argv[2]!, "auto");
process.stdout.write(`${kind}: ${summary}\n`);
