"""How fast our servers, client and broker are, beside others at the same work, in one run.

From a checkout with `netdemo` installed::

    python -m benchmarks                     # all of it, some thirty minutes
    python -m benchmarks echo files          # some of it
    python -m benchmarks --rounds 9 --seconds 5

The exit status is 1 when a goal is not reached or a run has failed.

A machine is never quiet: each peer is measured in each round, by turns, and what counts is the
median. Its ratio to the named peer is the median of the ratios within the rounds. Every server
runs on one core, the load (``load.c``) on another; where there is only one, they share it. A
client is measured against a RabbitMQ node of the benchmark's own, which has the servers' core, as
has our broker, which is measured beside that node with the same clients. The bridge has the other
core, as have those beside which it is measured.
"Busy" is the processor time that each took in a second: a peer near 100 % is what was measured,
its other side near 100 % is itself the limit. Below each table stands for how much of the time
some program had to wait for a processor. Where that is much, rates say little, and the processor
time that a peer took for each thing it did says more.

It needs ``cc``, and for the clients Debian's ``rabbitmq-server``, for the bridge also its
``syslog-ng-core`` and ``syslog-ng-mod-amqp``. What else the peers need it puts into
``~/.cache/netdemo-benchmarks``: uvloop, aio-pika and py-amqp with pip, amqp-tools, and nginx
when none is installed, with ``apt-get download``. What can't be had is left out with one line, and
a goal that needs it is not reached.
"""
