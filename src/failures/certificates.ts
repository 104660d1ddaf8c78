export const certificateFailures = {} as const;
