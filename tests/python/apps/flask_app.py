"""A Flask app that logs through dictConfig's handler; for gunicorn and uWSGI."""
import logging
import logging.config
import os

from flask import Flask

logging.config.dictConfig({
    'version': 1,
    'disable_existing_loggers': False,
    'handlers': {'weir': {'class': 'weir.LoggingHandler', 'level': 'INFO', 'service_name': 'flask', 'protocol': 'http/protobuf',
                          'endpoint': os.environ['ENDPOINT']}},
    'root': {'handlers': ['weir'], 'level': 'INFO'},
})
app = Flask(__name__)
logging.getLogger('start').info('loaded in %d', os.getpid())
os.write(1, b'app loaded\n')


@app.get('/hello/<name>')
def hello(name):
    app.logger.info('hello %s', name, extra={'pid': os.getpid()})
    return str(os.getpid())


@app.get('/boom')
def boom():
    raise ValueError('in a view')
