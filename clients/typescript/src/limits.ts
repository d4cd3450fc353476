/** setTimeout takes no more: with a longer time it fires at once. */
export const LONGEST = 2 ** 31 - 1;
