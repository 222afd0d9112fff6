<?php
// Uses a broker as programs with php-amqplib do; prints what came of it, a line each.

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exchange\AMQPExchangeType;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const PATIENCE = 60;

$connection = new AMQPStreamConnection('127.0.0.1', (int) $argv[1], 'guest', 'guest');
$channel = $connection->channel();

// Confirms and returns.
$acked = $nacked = $returned = 0;
$channel->set_ack_handler(function () use (&$acked) { $acked++; });
$channel->set_nack_handler(function () use (&$nacked) { $nacked++; });
$channel->set_return_listener(function ($code, $text) use (&$returned) { $returned++; });
$channel->confirm_select();
$channel->exchange_declare('x', AMQPExchangeType::TOPIC, false, true, false);
$dead = new AMQPTable(['x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => 'dead']);
$channel->queue_declare('q', false, true, false, false, false, $dead);
$channel->queue_declare('dead', false, true, false, false);
$channel->queue_bind('q', 'x', 'a.*');
$table = new AMQPTable(['n' => 1, 'list' => [1, 'two', null], 'real' => 2.5, 'yes' => true]);
for ($number = 0; $number < 100; $number++) {
    $properties = ['delivery_mode' => 2, 'application_headers' => $table];
    $channel->batch_basic_publish(new AMQPMessage((string) $number, $properties), 'x', 'a.b');
}
$channel->publish_batch();
$channel->basic_publish(new AMQPMessage('lost'), 'x', 'b', true);
$channel->wait_for_pending_acks_returns(PATIENCE);
echo "$acked acked, $nacked nacked, $returned returned\n";

// Consuming with a prefetch; the last is rejected.
$sum = 0;
$seen = 0;
$channel->basic_qos(0, 10, false);
$channel->basic_consume('q', 'tag', false, false, false, false, function ($message) use (&$sum, &$seen) {
    $sum += (int) $message->getBody();
    if (++$seen == 100) {
        $message->reject(false);
        $message->getChannel()->basic_cancel('tag');
    } else {
        $message->ack();
    }
});
while ($channel->is_consuming()) {
    $channel->wait(null, false, PATIENCE);
}
echo "consumed $seen, sum $sum\n";

// The dead letter, with all that it had.
$message = $channel->basic_get('dead', true);
$headers = $message->get('application_headers')->getNativeData();
echo $message->getBody(), ' ', $headers['x-death'][0]['reason'], ' ', json_encode($headers['list']);
echo ' ', $headers['real'], ' ', json_encode($headers['yes']), "\n";

// A large message comes in many frames.
$large = str_repeat('0123456789', 100000);
$channel->basic_publish(new AMQPMessage($large), '', 'dead');
$channel->wait_for_pending_acks(PATIENCE);
echo $channel->basic_get('dead', true)->getBody() === $large ? "whole\n" : "broken\n";

// An error ends the channel alone.
try {
    $channel->queue_declare('none', true);
} catch (AMQPProtocolChannelException $error) {
    echo $error->amqp_reply_code, ' ', $error->amqp_reply_text, "\n";
}
$channel = $connection->channel();
echo $channel->queue_delete('q'), ' ', $channel->queue_delete('dead'), " left\n";
$channel->exchange_delete('x');
$connection->close();
