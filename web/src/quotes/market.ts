// The newest prices of all symbols, as the boards tell them. Nothing here knows the page or the connection.

/** A symbol of the listing, as the request demo.quotes.listing answers. */
export interface Company {
  symbol: string;
  name: string;
  sector: string;
  /** The price that changes are counted from, in cents. */
  base: number;
}

export interface Listing {
  sectors: string[];
  companies: Company[];
}

export class Quote {
  /** In cents; 0: not known yet. */
  price = 0;
  /** Changes since the exchange opened. */
  trades = 0;
  /** Of the last change: 1 up, -1 down. */
  direction = 0;

  constructor(readonly company: Company) {}

  /** In percent of where it began. */
  get change(): number {
    return this.price ? (this.price / this.company.base - 1) * 100 : 0;
  }

  /** Takes a newer price, and returns how many changes that is. */
  take(price: number, trades: number): number {
    const changes = trades >= this.trades ? trades - this.trades : trades; // the exchange may have opened anew
    const first = this.price === 0;
    if (!first && price !== this.price) this.direction = price > this.price ? 1 : -1;
    this.price = price;
    this.trades = trades;
    return first ? 0 : changes;
  }
}

export class Market {
  readonly quotes: Quote[];
  readonly bySymbol: Map<string, Quote>;
  /** Changes that the exchange has made while this page was looking, those included that it has not seen one by one. */
  changes = 0;
  /** When the newest price of each sector was made, by the server's clock. */
  readonly told = new Map<string, number>();

  constructor(readonly listing: Listing) {
    this.quotes = listing.companies.map((company) => new Quote(company));
    this.bySymbol = new Map(this.quotes.map((quote) => [quote.company.symbol, quote]));
  }

  /** Takes the newest prices of a sector: for each of its symbols the price and the number of changes, 4 bytes each. */
  take(sector: string, board: Uint8Array, time: number): void {
    const { sectors } = this.listing;
    const size = this.quotes.length / sectors.length;
    const first = sectors.indexOf(sector) * size;
    if (first < 0 || board.length !== size * 8) return; // a newer server's, and this page is older
    const view = new DataView(board.buffer, board.byteOffset, board.length);
    for (let i = 0; i < size; i++) this.changes += this.quotes[first + i]!.take(view.getUint32(8 * i), view.getUint32(8 * i + 4));
    this.told.set(sector, time);
  }
}

export const money = (cents: number) => (cents ? (cents / 100).toFixed(2) : '–');

export const percent = (change: number) => `${change > 0 ? '+' : change < 0 ? '−' : ''}${Math.abs(change).toFixed(2)} %`;
