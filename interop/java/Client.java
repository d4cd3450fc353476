import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The JDK's own client against a server that echoes and obeys the commands of peers_test.go. Prints "ok" and exits with 0, or fails. */
public final class Client {
    /** What came: a String, a byte[], a Pong or a Close. */
    record Pong(String payload) {}

    record Close(int code, String reason) {}

    static final class Inbox implements WebSocket.Listener {
        final LinkedBlockingQueue<Object> queue = new LinkedBlockingQueue<>();
        private final StringBuilder text = new StringBuilder();
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                queue.add(text.toString());
                text.setLength(0);
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
            byte[] part = new byte[data.remaining()];
            data.get(part);
            bytes.writeBytes(part);
            if (last) {
                queue.add(bytes.toByteArray());
                bytes.reset();
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onPong(WebSocket socket, ByteBuffer payload) {
            queue.add(new Pong(StandardCharsets.UTF_8.decode(payload).toString()));
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            queue.add(new Close(code, reason));
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            queue.add(error);
        }

        void expect(Object want) throws Exception {
            Object got = queue.poll(20, TimeUnit.SECONDS);
            boolean same = want instanceof byte[] a && got instanceof byte[] b ? Arrays.equals(a, b) : want.equals(got);
            if (!same) {
                throw new IllegalStateException("got " + shorten(got) + ", want " + shorten(want));
            }
        }
    }

    static String shorten(Object value) {
        String s = value instanceof byte[] b ? b.length + " bytes" : String.valueOf(value);
        return s.length() > 100 ? s.substring(0, 100) + "... of " + s.length() : s;
    }

    static WebSocket connect(String url, Inbox inbox) {
        return HttpClient.newHttpClient().newWebSocketBuilder().subprotocols("chat.v1", "chat.v2")
            .buildAsync(URI.create(url), inbox).join();
    }

    static String fill(int size) {
        StringBuilder s = new StringBuilder();
        for (int i = 0; s.length() < size; i++) {
            s.append(i * 40503 % 65521).append(",héllo 世界;");
        }
        return s.substring(0, size);
    }

    public static void main(String[] args) throws Exception {
        Inbox inbox = new Inbox();
        WebSocket socket = connect(args[0], inbox);
        if (!socket.getSubprotocol().equals("chat.v2")) {
            throw new IllegalStateException("subprotocol " + socket.getSubprotocol());
        }
        for (int size : new int[] {0, 1, 125, 126, 127, 1000, 65535, 65536, 1 << 19}) {
            String text = fill(size);
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            socket.sendText(text, true).join();
            inbox.expect(text);
            socket.sendBinary(ByteBuffer.wrap(bytes), true).join();
            inbox.expect(bytes);
        }
        socket.sendText("Vi", false).join();
        socket.sendText("", false).join();
        socket.sendPing(ByteBuffer.wrap("between fragments".getBytes(StandardCharsets.UTF_8))).join();
        inbox.expect(new Pong("between fragments"));
        socket.sendText(fill(100_000), false).join();
        socket.sendText("fragmentiert", true).join();
        inbox.expect("Vi" + fill(100_000) + "fragmentiert");
        socket.sendText("!ping", true).join();
        inbox.expect("ponged");
        socket.sendText("!fragments", true).join();
        inbox.expect("Fragmente, 分片, фрагменты; ".repeat(8 << 10));
        socket.sendClose(4001, "genug 够了").join();
        inbox.expect(new Close(4001, ""));

        Inbox other = new Inbox();
        connect(args[0], other).sendText("!close 4002 server says bye", true).join();
        other.expect(new Close(4002, "server says bye"));
        System.out.println("ok");
        System.exit(0);
    }
}
