-- The table, and triggers that write down what happens to it, whoever does it.
-- "STRICT" makes SQLite keep to the types of the columns.

CREATE TABLE orders (
    id          INTEGER PRIMARY KEY AUTOINCREMENT CONSTRAINT orders_id CHECK (id BETWEEN 1 AND 2147483647),
    customer    TEXT    NOT NULL CONSTRAINT orders_customer CHECK (length(trim(customer)) BETWEEN 1 AND 80),
    item        TEXT    NOT NULL CONSTRAINT orders_item CHECK (length(trim(item)) BETWEEN 1 AND 120),
    quantity    INTEGER NOT NULL DEFAULT 1 CONSTRAINT orders_quantity CHECK (quantity BETWEEN 1 AND 1000),
    price_cents INTEGER NOT NULL CONSTRAINT orders_price CHECK (price_cents BETWEEN 0 AND 1000000000),
    status      TEXT    NOT NULL DEFAULT 'new' CONSTRAINT orders_status CHECK (status IN ('new', 'paid', 'shipped', 'cancelled')),
    version     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE order_changes (
    version  INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they were committed: SQLite has one writer at a time
    op       TEXT    NOT NULL,
    order_id INTEGER NOT NULL,
    was      TEXT,
    now      TEXT,
    by       TEXT,                              -- filled in by the program that serves the page, in the same transaction
    at       INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

CREATE TABLE order_place (name TEXT NOT NULL) STRICT; -- tells this table from those of other servers
INSERT INTO order_place VALUES ('sqlite-' || lower(hex(randomblob(8))));

CREATE TRIGGER orders_add AFTER INSERT ON orders BEGIN
    INSERT INTO order_changes (op, order_id, now) VALUES ('add', new.id,
        json_object('customer', new.customer, 'item', new.item, 'quantity', new.quantity, 'price_cents', new.price_cents, 'status', new.status));
    UPDATE orders SET version = last_insert_rowid() WHERE id = new.id;
END;

-- Changes of the version alone, as above, are none.
CREATE TRIGGER orders_change AFTER UPDATE OF customer, item, quantity, price_cents, status ON orders WHEN old.id = new.id BEGIN
    INSERT INTO order_changes (op, order_id, was, now) VALUES ('change', new.id,
        json_object('customer', old.customer, 'item', old.item, 'quantity', old.quantity, 'price_cents', old.price_cents, 'status', old.status),
        json_object('customer', new.customer, 'item', new.item, 'quantity', new.quantity, 'price_cents', new.price_cents, 'status', new.status));
    UPDATE orders SET version = last_insert_rowid() WHERE id = new.id;
END;

CREATE TRIGGER orders_remove AFTER DELETE ON orders BEGIN
    INSERT INTO order_changes (op, order_id, was) VALUES ('remove', old.id,
        json_object('customer', old.customer, 'item', old.item, 'quantity', old.quantity, 'price_cents', old.price_cents, 'status', old.status));
END;

-- A row that gets another id has gone, and another one has come.
CREATE TRIGGER orders_renumber AFTER UPDATE OF id ON orders WHEN old.id <> new.id BEGIN
    INSERT INTO order_changes (op, order_id, was) VALUES ('remove', old.id,
        json_object('customer', old.customer, 'item', old.item, 'quantity', old.quantity, 'price_cents', old.price_cents, 'status', old.status));
    INSERT INTO order_changes (op, order_id, now) VALUES ('add', new.id,
        json_object('customer', new.customer, 'item', new.item, 'quantity', new.quantity, 'price_cents', new.price_cents, 'status', new.status));
    UPDATE orders SET version = last_insert_rowid() WHERE id = new.id;
END;

INSERT INTO orders (customer, item, quantity, price_cents, status) VALUES
    ('Ann Archer', 'Jasmine tea, 250 g', 2, 1290, 'paid'),
    ('王小明', '龙井茶 100 g', 1, 3800, 'new'),
    ('Bob Baker', 'Teapot, cast iron', 1, 5450, 'shipped'),
    ('Chidi Okafor', 'Cups, set of six', 3, 2400, 'new'),
    ('Dora Duarte', 'Oolong, 1 kg', 1, 6900, 'paid'),
    ('Erik Eng', 'Tea towel', 12, 450, 'cancelled');

DELETE FROM order_changes; -- these are no news

PRAGMA user_version = 1;
