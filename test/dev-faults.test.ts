import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir, readFile, rm, symlink } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { makeProject, type RunningDev, type TestProject } from "./helpers/dev-project.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

const files = {
  "index.js": `export default { fetch: () => new Response("here") };`,
  "wrangler.json": JSON.stringify({
    name: "shop",
    main: "index.js",
    compatibility_date: "2025-11-17",
    mtls_certificates: [{ binding: "MY_CERT", certificate_id: "none" }],
  }),
};

describe("something else in the place of a file that countersign dev follows", () => {
  let project: TestProject;
  let dev: RunningDev;
  before(async () => {
    project = await makeProject(files);
    const { chain, key } = await (await makeAuthority()).issue({ subject: "CN=one" });
    await project.write("both.pem", chain + key);
    dev = await project.dev("--cert", "MY_CERT=both.pem");
  });
  after(async () => {
    await dev[Symbol.asyncDispose]();
    await project[Symbol.asyncDispose]();
  });

  const cases: readonly (readonly [
    what: string,
    file: string,
    make: (path: string) => unknown,
    said: RegExp,
  ])[] = [
    ["a device without end", "both.pem", (path) => symlink("/dev/zero", path), /it is no file/],
    ["a loop of links", "both.pem", (path) => symlink(path, path), /ELOOP/],
    ["a named pipe", "countersign.json", (path) => execFileSync("mkfifo", [path]), /it is no file/],
    [
      "what is far too large",
      "countersign.json",
      (path) => project.write("countersign.json", " ".repeat(70_000)).then(() => path),
      /70000 bytes where 65536 are allowed/,
    ],
    [
      "what is nested without end",
      "countersign.json",
      (path) => project.write("countersign.json", "[".repeat(60_000)).then(() => path),
      /dev_file_invalid|nested too deeply/,
    ],
  ];
  for (const [what, file, make, said] of cases) {
    test(`${what} is told, and changes nothing`, async () => {
      const path = project.path(file);
      await rm(path, { force: true });
      const already = dev.output.length;
      await make(path);
      await until(() => said.test(dev.output.slice(already)));
      assert.equal(await (await fetch(dev.url)).text(), "here");
    });
  }

  test("it is stopped at once", async () => {
    dev.child.kill("SIGTERM");
    await dev.ended;
  });
});

test("a signal ends countersign dev while it starts, and it is not ready first", async () => {
  await using project = await makeProject(files);
  const dev = project.run("dev", "--port", "0", "--inspector-port", "0");
  await dev.says(/MY_CERT presents/);
  dev.child.kill("SIGINT");
  assert.equal(await dev.ended, 130);
  assert.doesNotMatch(dev.output, /Ready on/);
});

test(
  "countersign dev that is killed leaves no workerd behind at its port",
  { skip: process.platform !== "linux" && "the kernel's help is Linux's" },
  async () => {
    await using project = await makeProject(files);
    const dev = await project.dev();
    const all = await childrenOf(dev.child.pid!);
    assert.equal(all.length, 2);
    dev.child.kill("SIGKILL");
    await dev.ended;
    await until(async () => (await Promise.all(all.map(isThere))).every((there) => !there));
    await assert.rejects(fetch(dev.url));
  },
);

/** The workerd processes that `pid` has started. */
async function childrenOf(pid: number): Promise<readonly string[]> {
  const all = await Promise.all(
    (await readdir("/proc"))
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => ({ name, stat: await readStat(name) })),
  );
  return all
    .filter(
      ({ stat }) => stat.includes("(workerd)") && stat.split(") ")[1]!.split(" ")[1] === `${pid}`,
    )
    .map(({ name }) => name);
}

async function isThere(pid: string): Promise<boolean> {
  const stat = await readStat(pid);
  return stat !== "" && !stat.includes(") Z");
}

function readStat(pid: string): Promise<string> {
  return readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
}
