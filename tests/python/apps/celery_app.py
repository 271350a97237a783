"""A Celery app with its prefork pool and a broker in a directory."""
import logging
import os

import celery
from celery.signals import setup_logging

from weir.loggingfw import CustomLogFW

where = os.environ['BROKER']
app = celery.Celery('celery_app', broker='filesystem://', backend=f'file://{where}/results')
app.conf.broker_transport_options = {'data_folder_in': f'{where}/queue', 'data_folder_out': f'{where}/queue',
                                     'control_folder': f'{where}/control'}


@setup_logging.connect
def logs(**_):
    CustomLogFW('celery').setup_logging()
    logging.getLogger().setLevel(logging.INFO)


@app.task
def work(n):
    logging.getLogger('work').info('work %d', n, extra={'pid': os.getpid()})
    return n
