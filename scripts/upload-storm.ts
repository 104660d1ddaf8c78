/**
 * Uploads from 16 clients to a control plane that is killed in between: nothing acknowledged is
 * lost, nothing is there twice. `node scripts/upload-storm.ts [uploads] [kills]`.
 */
import { uploadStorm } from "../test/helpers/upload-storm.ts";

const [uploads = 10_000, kills = 20] = process.argv.slice(2).map(Number);
const { seconds, answeredTwice } = await uploadStorm({ uploads, kills, clients: 16 });
console.log(`${uploads} uploads in ${seconds.toFixed(1)} s, killed ${kills} times`);
console.log(`${answeredTwice} were stored though their first answer was lost`);
