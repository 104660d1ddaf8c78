import { availableParallelism } from "node:os";
import { Failure } from "../failures/failures.ts";

/** @throws Failure `usage` */
export function port(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= 0 && value <= 65_535) return value;
  throw new Failure("usage", { message: `${option} "${text}" is not a port from 0 to 65535` });
}

type Range = readonly [least: number, most: number];

/** 0 means no limit. @throws Failure `usage` */
export function limit(option: string, text: string, [least, most]: Range): number {
  const value = Number(text);
  const isInside = Number.isInteger(value) && value >= least && value <= most;
  if (text.trim() !== "" && (isInside || value === 0)) return value;
  throw new Failure("usage", {
    message: `${option} "${text}" is neither 0 nor a whole number from ${least} to ${most}`,
  });
}

/** @throws Failure `usage` */
export function numberWithin(option: string, text: string, [least, most]: Range): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Failure("usage", {
    message: `${option} "${text}" is not a whole number from ${least} to ${most}`,
  });
}

/** `auto`: one for each core. @throws Failure `usage` */
export function processes(option: string, text: string, most: number): number {
  if (text === "auto") return Math.min(availableParallelism(), most);
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new Failure("usage", {
    message: `${option} "${text}" is neither "auto" nor a number from 1 to ${most}`,
  });
}
