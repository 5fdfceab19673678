import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orchestrators', '0002_shipped_profiles_and_capabilities'),
    ]

    operations = [
        migrations.CreateModel(
            name='FailureSignature',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(help_text='How logs, jobs and configuration call it.', max_length=63, unique=True)),
                ('order', models.PositiveIntegerField(default=100, help_text='The first that matches counts; small ones first.')),
                ('enabled', models.BooleanField(default=True)),
                ('status_from', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(200), django.core.validators.MaxValueValidator(599)], verbose_name='from status')),
                ('status_to', models.PositiveSmallIntegerField(help_text='The last status it applies to, this one included.', validators=[django.core.validators.MinValueValidator(200), django.core.validators.MaxValueValidator(599)], verbose_name='to status')),
                ('text', models.CharField(blank=True, help_text='Words in the first 8 KiB of the body, upper and lower case alike. Empty: any body.', max_length=200)),
                ('header', models.CharField(blank=True, help_text='name: words, such as X-Model-State: loading. name: alone asks for its presence. With a text as well, both must be there.', max_length=200)),
                ('cls', models.CharField(choices=[('gpu_oom', 'gpu_oom'), ('cold_start', 'cold_start'), ('busy', 'busy'), ('not_claimed', 'not_claimed'), ('container_crash', 'container_crash'), ('api_mismatch', 'api_mismatch'), ('timeout', 'timeout'), ('upstream_error', 'upstream_error'), ('rejected', 'rejected'), ('client_error', 'client_error')], help_text='What such an answer is; the page that classifies an answer tells what follows from it.', max_length=20, verbose_name='class')),
                ('note', models.TextField(blank=True, help_text='Where it was seen, and why it is judged so.')),
            ],
            options={
                'ordering': ['order', 'name'],
            },
        ),
    ]
