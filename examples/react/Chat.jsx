// A chat room as a React component, and the hook that it is made of: what a topic says, and a way to say something there.
//
//   <Chat client={client} room="lobby" />      with client = new Client('wss://example.com/ws', { info: { name: 'Ann' } })

import { useEffect, useState } from 'react';

/** The last messages of a topic, oldest first, and whether the server has confirmed the subscription. */
export function useTopic(client, topic, last = 50) {
  const [messages, setMessages] = useState([]);
  const [live, setLive] = useState(false);
  useEffect(() => {
    setMessages([]);
    const subscription = client.subscribe(topic, {
      last,
      onMessage: (message) => setMessages((before) => [...before.slice(1 - last), message]),
      onState: ({ state }) => setLive(state === 'live'),
    });
    return () => subscription.unsubscribe();
  }, [client, topic, last]);
  return { messages, live };
}

export function Chat({ client, room }) {
  const topic = `chat.${room}`;
  const { messages, live } = useTopic(client, topic);
  const [text, setText] = useState('');
  const [problem, setProblem] = useState('');
  const send = async (event) => {
    event.preventDefault();
    setText('');
    setProblem('');
    try {
      await client.publish(topic, { text }); // waits for a connection if there is none, and is sent once
    } catch (error) {
      setProblem(error.message);
    }
  };
  return (
    <form onSubmit={send}>
      <p>{live ? 'connected' : 'connecting…'}</p>
      <ol>
        {messages.map(({ offset, from, data }) => <li key={offset}><b>{from?.info?.name ?? from?.user}</b> {data.text ?? 'a picture'}</li>)}
      </ol>
      {problem && <p role="alert">{problem}</p>}
      <input aria-label="Your message" value={text} onChange={({ target }) => setText(target.value)} />
    </form>
  );
}
