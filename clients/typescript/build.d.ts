export const entries: string[];
export const embedded: string;
export function bundle(entry: string): Promise<string>;
export function pack(folder: string): Promise<void>;
