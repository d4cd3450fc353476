// What build.js makes of the page.json files.
declare module 'cards' {
  const cards: { id: string; icon: string; title: { en: string; zh: string }; lead: { en: string; zh: string } }[];
  export default cards;
}

declare module '*.css';
